"""Whether logged answers can be made again from their traces: the proof that what is served is what is measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ml.runtime.answer import RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.trace import RequestTrace, digest, replayed

TOLERANCE = 1e-5
"""Most that a score or a propensity may differ."""
NAMED = 20
"""Differing requests that a report names."""


@dataclass(frozen=True)
class Difference:
    """A logged answer that came out differently."""

    request: str
    """Where it stands among the traces, its kind and its bundle."""
    found: str
    """What was logged and what came out."""


@dataclass(frozen=True)
class ParityReport:
    """Of all traces that were given."""

    num_replayed: int
    num_without_bundle: int
    """Their bundle is no longer kept, so nothing can be said of them."""
    num_items: int
    max_difference: float
    """Of scores and propensities."""
    num_different: int
    """Requests whose history, items, order, scores or propensities are not what was logged."""
    different: tuple[Difference, ...]
    """The first `NAMED` of them."""

    @property
    def holds(self) -> bool:
        """Something was replayed, and all of it is as it was logged."""
        return self.num_replayed > 0 and self.num_different == 0


def parity(bundle_of_version: Callable[[str], Bundle | None], traces: Iterable[RequestTrace]) -> ParityReport:
    """Replay every trace on the bundle it names.

    Args:
        bundle_of_version: None for one that is no longer kept. Asked once per version.
    """
    bundles: dict[str, Bundle | None] = {}
    replayed_count = items = without = 0
    largest = 0.0
    different: list[Difference] = []
    for number, trace in enumerate(traces):
        if trace.bundle_version not in bundles:
            bundles[trace.bundle_version] = bundle_of_version(trace.bundle_version)
        bundle = bundles[trace.bundle_version]
        if bundle is None:
            without += 1
            continue
        answer = replayed(bundle, trace)
        gap, found = _compared(trace, answer)
        replayed_count, items, largest = replayed_count + 1, items + len(trace.shown), max(largest, gap)
        if found:
            different.append(Difference(f"{number} {trace.request.surface} {trace.bundle_version}", found))
    return ParityReport(replayed_count, without, items, largest, len(different), tuple(different[:NAMED]))


def _compared(trace: RequestTrace, answer: RankedList) -> tuple[float, str]:
    """The largest difference of numbers, and what differs in words; empty when nothing does."""
    logged, found = [item.item_id for item in trace.shown], [item.item_id for item in answer.items]
    if digest(answer.made_from.state.history) != trace.history_digest:
        return 0.0, "Another history: the bundle's record or the live events are not those of the request."
    if logged != found:
        return 0.0, f"Logged {logged[:5]} and more, replayed {found[:5]} and more."
    pairs = list(zip(trace.shown, answer.items, strict=True))
    gaps = [max(abs(a.score - b.score), abs(a.propensity - b.propensity)) for a, b in pairs]
    gap = max(gaps, default=0.0)
    return gap, f"Scores or propensities differ by up to {gap:.3g}." if gap > TOLERANCE else ""
