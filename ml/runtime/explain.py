"""Why an item stands where it stands, or why it is missing: the steps to a traced answer, read aloud."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ml.contract.types import Rows
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import SOURCES
from ml.runtime.enrich import FEATURES
from ml.runtime.places import TOP, Spread
from ml.runtime.recommend import Workings
from ml.runtime.rules import boosts
from ml.runtime.trace import RequestTrace, workings_of

LISTED = 10
"""Features named, those that weigh most; the rest is summed."""
EXPLORATION = "exploration"
DIVERSITY = "diversity"


@dataclass(frozen=True)
class SourceScore:
    """What one source says of an item."""

    source: str
    score: float
    """In the source's own unit."""
    share: float
    """Of the best score the source gave in this request, in [0, 1]."""
    proposed: bool
    """Whether it stood among the source's proposals; else the item came from another source and was scored by this one too."""


@dataclass(frozen=True)
class Contribution:
    """What one feature added to the ranker's score."""

    feature: str
    value: float | None
    """None where it was not known."""
    contribution: float


@dataclass(frozen=True)
class RankerVerdict:
    """The ranker's score, taken apart: `score = base + sum(contributions) + others`."""

    score: float
    base: float
    contributions: tuple[Contribution, ...]
    """The `LISTED` largest, largest first."""
    others: float


@dataclass(frozen=True)
class Likeness:
    """What diversity went by for one item."""

    relevance: float
    """How far its score lies on the way from the pool's lowest (0) to its highest (1)."""
    likeness: float
    """Cosine to the item above that it is most like; 0 of the first."""
    to_item_id: str | None
    """That item; None where nothing above is like it."""


@dataclass(frozen=True)
class Explanation:
    """One item of one request."""

    item_id: str
    position: int | None
    """From 1; None when it was not shown."""
    score: float | None
    """With boosts; None for an item that is neither shown nor a candidate."""
    propensity: float | None
    sources: tuple[SourceScore, ...]
    ranker: RankerVerdict | None
    """None where a blend of the sources' shares made the order, or popularity did."""
    taste: float
    """What its relatedness was multiplied with because the visitor cared for it before, at least 1."""
    boost: float
    """What the rules multiplied its strength with, at least 1."""
    place_by_score: int | None
    """Where it would stand by score alone, from 1."""
    diversity: Likeness | None
    """None where likeness said nothing of it."""
    moved_by: tuple[str, ...]
    """What put it elsewhere: likeness to what stands above it, limits of the top ten, or exploration."""
    removed_by: tuple[str, ...]
    """Rules that forbade it; empty for an allowed item."""


@dataclass(frozen=True)
class Provenance:
    """What an answer was made by."""

    bundle_version: str
    recipe: str | None = None
    models_of: str | None = None
    data_start_at: datetime | None = None
    cut_at: datetime | None = None
    code_version: str | None = None
    dagster_run_id: str | None = None


def explain(bundle: Bundle, trace: RequestTrace, item_id: str) -> Explanation:
    """One item of a traced answer, shown or not.

    Raises:
        BundleError: the trace is of another bundle.
    """
    return _explained(workings_of(bundle, trace), item_id)


def explain_shown(bundle: Bundle, trace: RequestTrace) -> tuple[Explanation, ...]:
    """Every item of a traced answer, in its order."""
    workings = workings_of(bundle, trace)
    return tuple(_explained(workings, item.item_id) for item in workings.answer().items)


def provenance(bundle: Bundle) -> Provenance:
    """Down to the run that made the bundle; all but the version is unknown of a bundle in memory."""
    if bundle.manifest is None:
        return Provenance(bundle.version)
    facts = bundle.manifest.facts
    return Provenance(
        bundle_version=bundle.version,
        recipe=facts.recipe,
        models_of=facts.models_of,
        data_start_at=facts.data_start_at,
        cut_at=facts.cut_at,
        code_version=facts.code_version,
        dagster_run_id=facts.dagster_run_id,
    )


def _explained(workings: Workings, item_id: str) -> Explanation:
    bundle, row = workings.bundle, workings.bundle.items.vocabulary.row(item_id)
    candidate, place = workings.candidate(row), _place(workings.shown, row)
    return Explanation(
        item_id=item_id,
        position=place,
        score=float(workings.scores[candidate]) if candidate is not None else 0.0 if place else None,
        propensity=workings.exploration.propensities[place - 1] if place else None,
        sources=_sources(workings, candidate) if candidate is not None else _as_filler(bundle, row) if place else (),
        ranker=None if candidate is None else _verdict(workings, candidate),
        taste=_taste(workings, candidate),
        boost=_boost(workings, row),
        place_by_score=_place(workings.ranked, row),
        diversity=_likeness(workings, row),
        moved_by=_moved_by(workings, row),
        removed_by=workings.reasons(item_id),
    )


def _taste(workings: Workings, candidate: int | None) -> float:
    taste = workings.scored.taste
    return 1.0 if taste is None or candidate is None else float(taste[candidate])


def _boost(workings: Workings, row: int) -> float:
    if row < 0:
        return 1.0
    bundle = workings.bundle
    factors = boosts(
        bundle.items,
        bundle.settings.rules,
        np.array([row], np.int32),
        at=workings.inputs.at,
        exposure=bundle.exposure,
    )
    return 1.0 if factors is None else float(factors[0])


def _as_filler(bundle: Bundle, row: int) -> tuple[SourceScore, ...]:
    return (SourceScore("popular", float(bundle.sources.popularity.recent[row]), 1.0, True),)


def _place(rows: Rows, row: int) -> int | None:
    found = np.flatnonzero(rows == row)
    return int(found[0]) + 1 if len(found) and row >= 0 else None


def _sources(workings: Workings, candidate: int) -> tuple[SourceScore, ...]:
    candidates = workings.scored.candidates
    said = zip(
        SOURCES,
        candidates.scores[candidate].tolist(),
        candidates.shares[candidate].tolist(),
        candidates.proposed[candidate].tolist(),
        strict=True,
    )
    return tuple(SourceScore(*source) for source in said if source[3] or source[2] > 0)


def _verdict(workings: Workings, candidate: int) -> RankerVerdict | None:
    features, ranker = workings.scored.features, workings.bundle.ranker
    if features is None or ranker is None:
        return None
    added = ranker.contributions(features[candidate : candidate + 1])[0]
    parts, base = added[:-1], float(added[-1])
    largest = np.argsort(-np.abs(parts), kind="stable")[:LISTED]
    values = features[candidate]
    return RankerVerdict(
        score=float(workings.scored.scores[candidate]),
        base=base,
        contributions=tuple(
            Contribution(FEATURES[i], float(values[i]) if np.isfinite(values[i]) else None, float(parts[i]))
            for i in largest.tolist()
            if parts[i]
        ),
        others=float(parts.sum() - parts[largest].sum()),
    )


def _moved_by(workings: Workings, row: int) -> tuple[str, ...]:
    chance = workings.exploration.place
    if chance is not None and row in (workings.shown[chance], workings.planned[chance]):
        return (EXPLORATION,)
    by_score, by_likeness = _place(workings.ranked, row), _place(workings.varied.rows, row)
    limit = workings.inputs.request.limit
    if by_score is None or by_likeness is None:
        return ()
    moved = (DIVERSITY,) if by_score != by_likeness and min(by_score, by_likeness) <= limit else ()
    return (*moved, *_limits_that_moved(workings, row, before=by_likeness))


def _limits_that_moved(workings: Workings, row: int, *, before: int) -> tuple[str, ...]:
    """The limits of the top ten that put an item elsewhere than on place `before`."""
    planned = _place(workings.planned, row)
    spread = Spread.of(workings.bundle.items, workings.bundle.settings.rules)
    behind = planned is None and before > workings.inputs.request.limit
    if planned == before or behind or not spread.names:
        return ()
    moved_back = planned is None or planned > before
    return spread.full_for(row, workings.planned[:TOP]) if moved_back else spread.names


def _likeness(workings: Workings, row: int) -> Likeness | None:
    varied = workings.varied
    place = varied.place_of(row)
    if place is None:
        return None
    likest = int(varied.likest[place])
    return Likeness(
        relevance=float(varied.relevance[place]),
        likeness=float(varied.likeness[place]),
        to_item_id=workings.bundle.items.vocabulary.id(likest) if likest >= 0 else None,
    )
