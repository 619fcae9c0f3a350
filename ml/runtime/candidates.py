"""Every source's proposals for one request, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.kernel import address, compiled
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.popular import Popularity
from ml.runtime.search import Index
from ml.runtime.sources import NO_ROWS, Neighbours, Source, joined
from ml.runtime.sparse_scores import SparseScores

SOURCES = ("two_tower", "ease", "item_knn", "bought_together", "repurchase", "popular", "trending")

WEIGHT_OF_CODE = np.array([EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES], np.float32)


class CandidateSettings(BaseModel):
    """How many items each source may propose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    two_tower: int = Field(200, ge=0, le=2_000)
    ease: int = Field(200, ge=0, le=2_000)
    item_knn: int = Field(150, ge=0, le=2_000)
    bought_together: int = Field(100, ge=0, le=2_000)
    repurchase: int = Field(200, ge=0, le=2_000)
    popular: int = Field(100, ge=1, le=2_000)
    trending: int = Field(30, ge=0, le=2_000)
    session_days: float = Field(2.0, gt=0, description="`bought_together` follows events of so many last days.")
    interest_decay_days: float = Field(60.0, gt=0, description="Interest in an item falls by e every so many days.")
    late_share: float = Field(
        0.25, gt=0, le=1, description="Share of each number that is left when 80 % of a request's time is spent."
    )

    def when_late(self) -> Self:
        """A source that may propose anything still may propose one item."""
        return self.model_copy(update={name: ceil(self.late_share * getattr(self, name)) for name in SOURCES})


@dataclass(frozen=True)
class SourceTables:
    """The sources that are tables: fitted at a cut, saved in the bundle."""

    ease: NeighbourTable
    item_knn: NeighbourTable
    bought_together: NeighbourTable
    popularity: Popularity

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _NEIGHBOURS:
            getattr(self, name).save(folder / f"{name}.npz")
        self.popularity.save(folder / "popularity.npz")

    def summary(self) -> dict[str, int | float]:
        """Items with at least one neighbour, by source."""
        linked = {f"items_with_{name}": getattr(self, name).num_linked for name in _NEIGHBOURS}
        return {"items": len(self.popularity.recent), **linked}

    @classmethod
    def load(cls, folder: Path) -> Self:
        tables = {name: NeighbourTable.load(folder / f"{name}.npz") for name in _NEIGHBOURS}
        return cls(**tables, popularity=Popularity.load(folder / "popularity.npz"))


_NEIGHBOURS = ("ease", "item_knn", "bought_together")


@dataclass(frozen=True)
class Candidates:
    """Distinct items some source proposed, by ascending row, with every source's score for each."""

    rows: Rows
    """`[num_candidates]`"""
    scores: Floats
    """`[num_candidates, len(SOURCES)]` raw scores; a source that does not know an item gives 0."""
    proposed: NDArray[np.bool_]
    """`[num_candidates, len(SOURCES)]`"""

    @cached_property
    def shares(self) -> Floats:
        """Scores as shares of each source's best, in [0, 1]."""
        kernel = compiled()
        if kernel is not None:
            shares = np.empty_like(self.scores)
            kernel.shares_of_best(address(self.scores, np.float32), *shares.shape, address(shares, np.float32))
            return shares
        best = self.scores.max(axis=0, initial=0.0)
        return np.clip(self.scores / np.where(best > 0, best, 1.0), 0.0, 1.0).astype(np.float32)


@dataclass(frozen=True)
class Interest:
    """Items one person showed interest in `[n]`, distinct, with strengths in (0, 1]."""

    rows: Rows
    strengths: Floats

    @classmethod
    def of(cls, history: History, *, at: int, decay_days: float) -> Self:
        return cls.summed(history.item_rows, decayed_weights(history, at=at, decay_days=decay_days))

    @classmethod
    def summed(cls, rows: Rows, weights: Floats) -> Self:
        """1 - exp(-w / 5) of each item's summed weight: one fresh purchase (5) gives 0.63, twenty give 1."""
        total = SparseScores.summed(rows, weights)
        liked = total.scores > 0
        return cls(total.rows[liked], strength(total.scores[liked]))


def strength(weight: Floats) -> Floats:
    return (1.0 - np.exp(-weight / EVENT_WEIGHTS[EventType.PURCHASE])).astype(np.float32)


def decayed_weights(history: History, *, at: int, decay_days: float) -> Floats:
    """Event weight x exp(-age / decay) of each event `[num_events]`."""
    return WEIGHT_OF_CODE[history.event_codes] * decay(at - history.occurred_at, decay_days)


def decay(age_seconds: Seconds, decay_days: float) -> Floats:
    return np.exp(-np.maximum(age_seconds, 0) / (decay_days * SECONDS_PER_DAY)).astype(np.float32)


def home_candidates(
    history: History,
    query: Floats,
    *,
    at: int,
    tables: SourceTables,
    index: Index,
    vectors: Floats,
    allowed: NDArray[np.bool_],
    settings: CandidateSettings,
    named: Rows = NO_ROWS,
) -> Candidates:
    """Candidates for one user.

    Args:
        query: `[dimension]`, the query tower's vector.
        vectors: `[num_items, dimension]`, what the index was built from.
        allowed: `[num_items]`.
        named: candidates whether a source proposes them or not.
    """
    interest = Interest.of(history, at=at, decay_days=settings.interest_decay_days)
    recent = history.occurred_at >= at - settings.session_days * SECONDS_PER_DAY
    session = Interest.summed(history.item_rows[recent], WEIGHT_OF_CODE[history.event_codes[recent]])
    said: dict[str, Neighbours | SparseScores] = {
        "ease": Neighbours(tables.ease, interest.rows, interest.strengths),
        "item_knn": Neighbours(tables.item_knn, interest.rows, interest.strengths),
        "bought_together": Neighbours(tables.bought_together, session.rows, session.strengths),
        "repurchase": SparseScores(interest.rows, interest.strengths),
    }
    nearest = index.search(query[None, :], settings.two_tower)[0][0] if settings.two_tower else NO_ROWS
    return _candidates(
        said, nearest, query, tables.popularity, vectors=vectors, allowed=allowed, settings=settings, named=named
    )


def related_candidates(
    item_rows: Rows,
    *,
    tables: SourceTables,
    index: Index,
    vectors: Floats,
    allowed: NDArray[np.bool_],
    settings: CandidateSettings,
) -> Candidates:
    """Candidates that go with some items: their neighbours in every table, and what is nearest to their mean vector."""
    whole = np.ones(len(item_rows), np.float32)
    said: dict[str, Neighbours | SparseScores] = {
        name: Neighbours(getattr(tables, name), item_rows, whole) for name in _NEIGHBOURS
    }
    query = vectors[item_rows].mean(axis=0)
    nearest = index.search(query[None, :], settings.two_tower)[0][0] if settings.two_tower else NO_ROWS
    return _candidates(said, nearest, query, tables.popularity, vectors=vectors, allowed=allowed, settings=settings)


def _candidates(
    said: Mapping[str, Neighbours | SparseScores],
    nearest: Rows,
    query: Floats,
    popularity: Popularity,
    *,
    vectors: Floats,
    allowed: NDArray[np.bool_],
    settings: CandidateSettings,
    named: Rows = NO_ROWS,
) -> Candidates:
    sources = {name: Source(scores, at_most=getattr(settings, name)) for name, scores in said.items()}
    sources["two_tower"] = Source(None, proposals=nearest)
    sources["popular"] = Source(popularity.recent, proposals=popularity.first(settings.popular, allowed))
    sources["trending"] = Source(popularity.trending, proposals=popularity.trending_order[: settings.trending])
    nothing = Source(None)
    found = joined([sources.get(name, nothing) for name in SOURCES], named, allowed=allowed)
    found.scores[:, SOURCES.index("two_tower")] = vectors[found.rows] @ query
    return Candidates(found.rows, found.scores, found.proposed)
