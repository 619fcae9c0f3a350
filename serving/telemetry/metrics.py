"""What is counted while requests are answered. One registry for each app; labels come from sets that are small and known."""

from collections import Counter as Occurrences
from collections.abc import Mapping
from functools import lru_cache
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from ml.runtime.answer import RankedList
from serving.telemetry.stopwatch import Stopwatch

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""0.1 is the service's promise for p99, so an alert can count what is slower."""
STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
VERSIONS_KEPT = 2
"""The bundle that answers and the one before it; series of older ones are dropped, or a year of daily releases would pile up."""


CHILDREN_KEPT = 512


class Metrics:
    """Counters and histograms of one process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside every counter, which Prometheus has no use for
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "aisle_http_requests_total",
            "Requests answered; `route` is the path's pattern.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "aisle_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("aisle_http_requests_in_flight", "Requests being answered right now.", registry=registry)
        self.stage_seconds = Histogram(
            "aisle_list_stage_seconds",
            "Of a list: `visit` (what the caller did), `wait` (for its turn), then the stages of the request path.",
            ["surface", "stage"],
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self.lists = Counter(
            "aisle_lists_total", "Lists made.", ["surface", "bundle_version", "personalised"], registry=registry
        )
        self.list_items = Counter(
            "aisle_list_items_total",
            "Items shown, by the source that spoke loudest.",
            ["surface", "source", "bundle_version"],
            registry=registry,
        )
        self.degraded = Counter(
            "aisle_lists_degraded_total", "Lists made without a part.", ["surface", "part"], registry=registry
        )
        self.rule_hits = Counter(
            "aisle_list_rule_hits_total",
            "Items of the catalogue a rule kept out.",
            ["surface", "rule"],
            registry=registry,
        )
        self.events = Counter(
            "aisle_feedback_events_total",
            "Interactions received: accepted, duplicate or rejected.",
            ["verdict"],
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "aisle_feedback_commit_seconds",
            "From an interaction to its commit, as its sender waits for it.",
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        # To find a metric's child by its labels takes longer than to count; these are few, and those of a bundle that is gone are let go.
        self._requests, self._request_seconds = _kept(self.requests), _kept(self.request_seconds)
        self._stage_seconds, self._lists, self._list_items = (
            _kept(metric) for metric in (self.stage_seconds, self.lists, self.list_items)
        )
        self._degraded, self._rule_hits = _kept(self.degraded), _kept(self.rule_hits)
        self._versions: list[str] = []
        self._lock = Lock()

    def answered(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One request of any kind."""
        self._requests(route, method, status).inc()
        self._request_seconds(route).observe(seconds)

    def listed(self, answer: RankedList, watch: Stopwatch) -> None:
        """One list."""
        surface, version = answer.made_from.request.surface, answer.bundle_version
        self._keep(version)
        self._lists(surface, version, str(answer.personalised).lower()).inc()
        for stage, begin, end in watch.spans:
            self._stage_seconds(surface, stage).observe((end - begin) / 1e9)
        for source, number in Occurrences(item.source for item in answer.items).items():
            self._list_items(surface, source, version).inc(number)
        for part in answer.degraded:
            self._degraded(surface, part).inc()
        for rule, number in answer.kept_out.items():
            self._rule_hits(surface, rule).inc(number)

    def received(self, verdicts: Mapping[str, int]) -> None:
        """Interactions, by what became of them."""
        for verdict, number in verdicts.items():
            self.events.labels(verdict).inc(number)

    def _keep(self, version: str) -> None:
        if self._versions and self._versions[-1] == version:
            return
        with self._lock:
            older = [kept for kept in self._versions if kept != version]
            for gone in older[: 1 - VERSIONS_KEPT]:
                self.lists.remove_by_labels({"bundle_version": gone})
                self.list_items.remove_by_labels({"bundle_version": gone})
            self._lists.cache_clear()
            self._list_items.cache_clear()
            self._versions = [*older[1 - VERSIONS_KEPT :], version]


def _kept(metric: Any) -> Any:
    """`metric.labels`, which remembers what it found."""
    return lru_cache(CHILDREN_KEPT)(metric.labels)
