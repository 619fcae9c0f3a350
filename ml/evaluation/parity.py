"""Whether logged answers can be made again from their traces: the proof that what is served is what is measured."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.runtime.answer import RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.trace import RequestTrace, digest, replayed

TOLERANCE = 1e-5
"""Most that a score or a propensity may differ."""
NAMED = 20
"""Differing requests that a report names."""


class ParitySettings(BaseModel):
    """How much of the service's log is made again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lists: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Newest logged lists that are made again from their traces, after the log has landed.",
    )


@dataclass(frozen=True)
class LoggedList:
    """One list as the service wrote it down."""

    request_id: str
    bundle_version: str
    trace: str
    """JSON of a `RequestTrace`."""


@dataclass(frozen=True)
class Difference:
    """A logged answer that came out differently."""

    request_id: str
    surface: str
    bundle_version: str
    found: str
    """What was logged and what came out."""
    gap: float
    """The largest difference of a score or propensity; infinite where other items, another order or another history came out."""


@dataclass(frozen=True)
class ParityReport:
    """Of all lists that were given."""

    num_replayed: int
    num_without_bundle: int
    """Their bundle is no longer kept, so nothing can be said of them."""
    num_unreadable: int
    """Their trace has the shape of another version of this code, so nothing can be said of them."""
    num_items: int
    max_difference: float
    """Of scores and propensities, where the items are the same."""
    num_changed_places: int
    """Lists in which items with the same score, to the tolerance, came out in another order: another processor adds in another order."""
    num_different: int
    """Requests whose history, items, order, scores or propensities are not what was logged."""
    different: tuple[Difference, ...]
    """The `NAMED` worst of them, the worst first."""

    @property
    def holds(self) -> bool:
        """Something was replayed, and all of it is as it was logged."""
        return self.num_replayed > 0 and self.num_different == 0


def parity(bundle_of_version: Callable[[str], Bundle | None], logged: Iterable[LoggedList]) -> ParityReport:
    """Replay every list on the bundle that made it.

    Args:
        bundle_of_version: None for one that is no longer kept. Asked once per version, and each bundle is let go before the next.
    """
    replayed_count = items = without = unreadable = changed = 0
    largest = 0.0
    different: list[Difference] = []
    by_version = attrgetter("bundle_version")
    for version, lists in groupby(sorted(logged, key=by_version), key=by_version):
        bundle = bundle_of_version(version)
        for each in lists:
            if bundle is None:
                without += 1
                continue
            try:
                trace = RequestTrace.from_json(each.trace)
            except ValidationError:
                unreadable += 1
                continue
            gap, found, has_changed_places = _compared(trace, replayed(bundle, trace))
            replayed_count, items = replayed_count + 1, items + len(trace.shown)
            changed += has_changed_places
            largest = max(largest, gap) if math.isfinite(gap) else largest
            if found:
                different.append(Difference(each.request_id, trace.request.surface, version, found, gap))
    worst = sorted(different, key=lambda difference: -difference.gap)[:NAMED]
    return ParityReport(replayed_count, without, unreadable, items, largest, changed, len(different), tuple(worst))


def _compared(trace: RequestTrace, answer: RankedList) -> tuple[float, str, bool]:
    """The largest difference of numbers, what differs in words, empty when nothing does, and whether only equals changed places."""
    logged, found = [item.item_id for item in trace.shown], [item.item_id for item in answer.items]
    if digest(answer.made_from.state.history) != trace.history_digest:
        return math.inf, "Another history: the bundle's record or the live events are not those of the request.", False
    if logged != found and not _are_equals(trace, answer):
        place = next(
            (n for n, (a, b) in enumerate(zip(logged, found, strict=False)) if a != b), min(len(logged), len(found))
        )
        return math.inf, f"From place {place + 1}: logged {logged[place:][:5]}, made again {found[place:][:5]}.", False
    gap = _largest_gap(trace, answer)
    differ = (
        f"Scores or propensities differ by up to {gap:.3g}." if not gap <= TOLERANCE else ""
    )  # a NaN is no likeness
    return gap, differ, logged != found and not differ


def _largest_gap(trace: RequestTrace, answer: RankedList) -> float:
    """Of the scores and propensities of two lists of one length, place by place."""
    pairs = zip(trace.shown, answer.items, strict=True)
    gaps = [max(abs(a.score - b.score), abs(a.propensity - b.propensity)) for a, b in pairs]
    return math.nan if any(map(math.isnan, gaps)) else max(gaps, default=0.0)


def _are_equals(trace: RequestTrace, answer: RankedList) -> bool:
    """Whether the items of two lists differ in the order of equal scores alone, to the tolerance.

    Each item that is in both has one score, each place has one score, and an item that is in one list alone was as good as the last
    place of it.
    """
    logged = {item.item_id: item.score for item in trace.shown}
    found = {item.item_id: item.score for item in answer.items}
    if len(trace.shown) != len(answer.items) or not _largest_gap(trace, answer) <= TOLERANCE:
        return False
    last = trace.shown[-1].score
    return all(
        abs(scores[item] - others.get(item, last)) <= TOLERANCE
        for scores, others in ((logged, found), (found, logged))
        for item in scores
    )
