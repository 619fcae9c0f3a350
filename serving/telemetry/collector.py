"""What is read off the service's parts when somebody asks: a figure that a part holds anyway is not kept twice."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ml.contract.errors import ReleaseError
from serving.archive import Archive
from serving.feedback import FeedbackLog
from serving.feedback.records import microseconds
from serving.live_bundle import LiveBundle, LiveRelease
from serving.visits import Visits, bundle_cut


class StateCollector(Collector):
    """Reads memory only: a scrape waits for no database."""

    def __init__(self, live: LiveBundle, archive: Archive, log: FeedbackLog, visits: Visits) -> None:
        self._live = live
        self._archive = archive
        self._log = log
        self._visits = visits

    def collect(self) -> Iterator[Metric]:
        yield from self._bundle()
        yield from self._mirror()
        yield from self._feedback()
        yield _gauge(
            "aisle_online_state_filled",
            "1 while lists know of every event since the cut; 0 while they say `online_state`.",
            self._visits.is_filled,
        )
        lookups = CounterMetricFamily(
            "aisle_archive_lookups_total",
            "Bundles asked for by an explanation: live, kept in memory, opened from disk, or gone.",
            labels=["outcome"],
        )
        for outcome, number in self._archive.lookups.items():
            lookups.add_metric([outcome], number)
        yield lookups

    def _bundle(self) -> Iterator[Metric]:
        release = self._release()
        info = GaugeMetricFamily("aisle_bundle_info", "The bundle that answers.", labels=["bundle_version"])
        cut = GaugeMetricFamily("aisle_bundle_cut_timestamp_seconds", "Until when its data goes.")
        opened = GaugeMetricFamily("aisle_bundle_opened_timestamp_seconds", "When it began to answer here.")
        if release is not None:
            info.add_metric([release.bundle.version], 1)
            cut.add_metric([], bundle_cut(release.bundle).timestamp())
            opened.add_metric([], release.opened_at.timestamp())
        yield from (info, cut, opened)
        yield _gauge("aisle_bundle_live", "1 while a bundle answers.", release is not None)
        yield _gauge(
            "aisle_release_refused",
            "1 while the release that should answer does not.",
            self._live.refusal is not None,
        )
        yield CounterMetricFamily(
            "aisle_bundle_swaps_total", "Bundles put in place, the first one included.", self._live.swaps
        )
        yield CounterMetricFamily(
            "aisle_release_refusals_total", "Attempts to open a release that failed.", self._live.refusals
        )

    def _mirror(self) -> Iterator[Metric]:
        """Where there is no bucket to follow, or nothing more to fetch from it, there are no samples, and so no alarm."""
        in_step = GaugeMetricFamily(
            "aisle_mirror_in_step_timestamp_seconds",
            "When the bucket last said what is live and it was here; 0 before the first time.",
        )
        state = self._live.mirror
        if state is not None and not (self._live.is_pinned and state.in_step_at):
            in_step.add_metric([], state.in_step_at.timestamp() if state.in_step_at else 0)
        yield in_step

    def _feedback(self) -> Iterator[Metric]:
        backlog = self._log.backlog
        waiting = GaugeMetricFamily("aisle_feedback_waiting", "What waits to be written.", labels=["kind"])
        waiting.add_metric(["events"], backlog.events)
        waiting.add_metric(["lists"], backlog.lists)
        yield waiting
        oldest = backlog.oldest_list_us
        lag = 0.0 if oldest is None else (microseconds(datetime.now(UTC)) - oldest) / 1e6
        yield _gauge(
            "aisle_feedback_list_lag_seconds", "Since the oldest list was shown that is not written yet.", max(lag, 0.0)
        )
        yield CounterMetricFamily(
            "aisle_feedback_dropped_lists_total", "Lists shown and never written down.", self._log.dropped_lists
        )
        failed = CounterMetricFamily(
            "aisle_feedback_failed_commits_total", "Commits the database refused.", labels=["kind"]
        )
        failed.add_metric(["events"], backlog.failed_event_commits)
        failed.add_metric(["lists"], backlog.failed_list_commits)
        yield failed

    def _release(self) -> LiveRelease | None:
        try:
            return self._live.release
        except ReleaseError:
            return None


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, float(value))
