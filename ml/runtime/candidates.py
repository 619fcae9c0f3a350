"""Every source's proposals for one request, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Rows
from ml.features.history import History
from ml.runtime.factors import ItemFactors
from ml.runtime.interest import Interest, Readings
from ml.runtime.item_users import ItemUsers
from ml.runtime.kernel import Kernel, address, compiled, require_memory
from ml.runtime.likeness import scores_into
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.order import distinct, falling
from ml.runtime.popular import Popularity
from ml.runtime.pulse import Pulse
from ml.runtime.search import Index
from ml.runtime.sources import NO_ROWS, Neighbours, Scores, Source, joined
from ml.runtime.sparse_scores import SparseScores


class Asked(NamedTuple):
    """A source that is a table of neighbours."""

    table: str
    by: str
    """Which of the `Readings` of a history it is asked by."""


NEIGHBOURS: Mapping[str, Asked] = {
    "ease": Asked("ease", "lasting"),
    "item_knn": Asked("item_knn", "fading"),
    "recent_knn": Asked("item_knn", "newest"),
    "next_items": Asked("next_items", "newest"),
    "content": Asked("content", "newest"),
    "bought_together": Asked("bought_together", "newest"),
}
"""A further one is a line here, a table fitted in `ml.candidates` and its number in `CandidateSettings`."""

TABLES = tuple(dict.fromkeys(asked.table for asked in NEIGHBOURS.values()))

SMOOTH = 10
"""Added to each rank before ranks are fused."""

SOURCES = ("two_tower", *NEIGHBOURS, "spectral", "user_knn", "repurchase", "popular", "trending")
TWO_TOWER, SPECTRAL, USER_KNN = (SOURCES.index(name) for name in ("two_tower", "spectral", "user_knn"))


class CandidateSettings(BaseModel):
    """How many items each source may propose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    two_tower: int = Field(200, ge=0, le=2_000, description="Items nearest to the query vector.")
    ease: int = Field(200, ge=0, le=2_000, description="Items that go with all the user ever liked, by EASE.")
    item_knn: int = Field(150, ge=0, le=2_000, description="Items like those of the user's fading interest.")
    recent_knn: int = Field(100, ge=0, le=2_000, description="Items like the user's `newest_items`.")
    next_items: int = Field(100, ge=0, le=2_000, description="What others went on to after the user's `newest_items`.")
    content: int = Field(50, ge=0, le=2_000, description="Items described like the user's `newest_items`.")
    spectral: int = Field(
        100,
        ge=0,
        le=2_000,
        description="The best, by the factors of who chose what, of all that the other sources propose.",
    )
    user_knn: int = Field(
        100,
        ge=0,
        le=2_000,
        description="The best of the same, by how many people like the user are interested in them.",
    )
    bought_together: int = Field(
        100, ge=0, le=2_000, description="Items that lay in one basket with the user's `newest_items`."
    )
    repurchase: int = Field(200, ge=0, le=2_000, description="Items the user has shown interest in before.")
    popular: int = Field(100, ge=1, le=2_000, description="Items with most interest lately; also what a stranger sees.")
    trending: int = Field(30, ge=0, le=2_000, description="Items whose interest has risen most.")
    at_most: int = Field(
        500,
        ge=1,
        le=10_000,
        description="The ranker looks at so many of all that was proposed: those that the sources' ranks put first.",
    )
    interest_decay_days: float = Field(60.0, gt=0, description="Fading interest falls by e every so many days.")
    newest_items: int = Field(40, ge=1, le=1_000, description="Sources that follow the newest items look at so many.")
    newest_half_life: float = Field(
        2.0,
        gt=0,
        description="Of these, one liked so many moments earlier counts half as much; an order is one moment.",
    )
    late_share: float = Field(
        0.25, gt=0, le=1, description="Share of each number that is left when 80 % of a request's time is spent."
    )

    def readings(self, history: History, *, at: int) -> Readings:
        return Readings.of(
            history,
            at=at,
            decay_days=self.interest_decay_days,
            newest_items=self.newest_items,
            half_life=self.newest_half_life,
        )

    def when_late(self) -> Self:
        """A source that may propose anything still may propose one item."""
        return self.model_copy(update={name: ceil(self.late_share * getattr(self, name)) for name in SOURCES})


@dataclass(frozen=True)
class SourceTables:
    """The sources that are tables: fitted at a cut, saved in the bundle."""

    neighbours: Mapping[str, NeighbourTable]
    """By the names in `TABLES`."""
    factors: ItemFactors
    interested: ItemUsers
    popularity: Popularity
    pulse: Pulse

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.neighbours.items():
            table.save(folder / name)
        self.factors.save(folder)
        self.interested.save(folder / "interested")
        self.popularity.save(folder / "popularity.npz")
        self.pulse.save(folder / "pulse.npy")

    def summary(self) -> dict[str, int | float]:
        """Items with at least one neighbour, by table."""
        linked = {f"items_with_{name}": table.num_linked for name, table in self.neighbours.items()}
        return {"items": len(self.popularity.recent), **linked}

    def asked(self, asked: Asked, readings: Readings) -> Neighbours:
        """One table, asked by one reading."""
        interest: Interest = getattr(readings, asked.by)
        return Neighbours(self.neighbours[asked.table], interest.rows, interest.strengths)

    @classmethod
    def load(cls, folder: Path) -> Self:
        tables = {name: NeighbourTable.load(folder / name) for name in TABLES}
        popularity, pulse = Popularity.load(folder / "popularity.npz"), Pulse.load(folder / "pulse.npy")
        interested = ItemUsers.load(folder / "interested")
        return cls(tables, ItemFactors.load(folder), interested, popularity, pulse)


@dataclass(frozen=True)
class Candidates:
    """Distinct items some source proposed, by ascending row, with every source's score for each."""

    rows: Rows
    """`[num_candidates]`"""
    scores: Floats
    """`[num_candidates, len(SOURCES)]` raw scores; a source that does not know an item gives 0."""
    proposed: NDArray[np.bool_]
    """`[num_candidates, len(SOURCES)]`"""
    standing: "Standing | None" = None
    """Of these among all that were proposed, where the best were chosen of them."""

    @cached_property
    def shares(self) -> Floats:
        """Scores as shares of each source's best, in [0, 1]."""
        return shares_of_best(self.scores) if self.standing is None else self.standing.shares

    @cached_property
    def ranks(self) -> Floats:
        """1 / rank in each source, 0 where it says nothing `[num_candidates, len(SOURCES)]`."""
        return ranked(self.scores)[0] if self.standing is None else self.standing.ranks

    def best(self, most: int, *, named: Rows = NO_ROWS) -> Self:
        """Those that all sources together put first: with the largest sums of 1 / (`SMOOTH` + rank), the lower row first of equal ones.

        Reciprocal rank fusion (Cormack et al. 2009), with a smaller constant than theirs, so that what one source is sure of stays.

        Args:
            named: distinct rows, ascending, that stay whatever the sources say.
        """
        ranks, fused = ranked(self.scores)
        kernel, shares = compiled(), shares_of_best(self.scores)
        if kernel is None:
            kept = best_by_numpy(self.rows, fused, most, named)
            return type(self)(
                self.rows[kept], self.scores[kept], self.proposed[kept], Standing(shares[kept], ranks[kept])
            )
        # Taken out of the arrays themselves, so of a copy of those that others may hold.
        rows, scores, proposed = self.rows.copy(), self.scores.copy(), self.proposed.copy()
        count = require_memory(
            kernel.keep_best(
                address(fused, np.float32), *scores.shape, most, address(named, np.int32), len(named),
                address(rows, np.int32), address(scores, np.float32), address(proposed, np.bool_),
                address(shares, np.float32), address(ranks, np.float32),
            )
        )  # fmt: skip
        return type(self)(rows[:count], scores[:count], proposed[:count], Standing(shares[:count], ranks[:count]))


@dataclass(frozen=True)
class Standing:
    """What candidates' scores are among those of all that were proposed."""

    shares: Floats
    """`[num_candidates, len(SOURCES)]`"""
    ranks: Floats
    """`[num_candidates, len(SOURCES)]`"""


def shares_of_best(scores: Floats) -> Floats:
    """Scores as shares of each source's best, in [0, 1] `[n, s]`."""
    kernel = compiled()
    if kernel is not None:
        shares = np.empty_like(scores)
        kernel.shares_of_best(address(scores, np.float32), *shares.shape, address(shares, np.float32))
        return shares
    best = scores.max(axis=0, initial=0.0)
    return np.clip(scores / np.where(best > 0, best, 1.0), 0.0, 1.0).astype(np.float32)


def ranked(scores: Floats) -> tuple[Floats, Floats]:
    """1 / (rank of the candidate in each source), 0 where the source gives it nothing `[n, s]`; and all of them fused `[n]`."""
    kernel = compiled()
    return ranks_by_numpy(scores) if kernel is None else ranks_by_kernel(scores, kernel)


def ranks_by_kernel(scores: Floats, kernel: Kernel) -> tuple[Floats, Floats]:
    ranks, fused = np.empty_like(scores), np.empty(len(scores), np.float32)
    require_memory(
        kernel.reciprocal_ranks(
            address(scores, np.float32), *scores.shape, SMOOTH, address(ranks, np.float32), address(fused, np.float32)
        )
    )
    return ranks, fused


def ranks_by_numpy(scores: Floats) -> tuple[Floats, Floats]:
    order = falling(np.ascontiguousarray(scores.T))
    places = np.empty(order.shape, np.int64)
    places[np.arange(len(order))[:, None], order] = np.arange(1, len(scores) + 1)
    heard, fused = scores > 0, np.zeros(len(scores), np.float32)
    for source, place in enumerate(places):
        fused += np.where(heard[:, source], 1.0 / (SMOOTH + place), 0.0).astype(np.float32)
    return np.where(heard, (1.0 / places.T).astype(np.float32), np.float32(0)), fused


def best_by_numpy(rows: Rows, fused: Floats, most: int, named: Rows) -> Rows:
    """Positions of the candidates that stay, ascending."""
    kept = np.isin(rows, named)
    kept[falling(fused)[:most]] = True
    return np.flatnonzero(kept).astype(np.int32)


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
    """Candidates for one user: the best `at_most` of all that is proposed.

    Args:
        query: `[dimension]`, the query tower's vector.
        vectors: `[num_items, dimension]`, what the index was built from.
        allowed: `[num_items]`.
        named: candidates whether a source proposes them or not.
    """
    readings = settings.readings(history, at=at)
    said: dict[str, Scores] = {name: tables.asked(asked, readings) for name, asked in NEIGHBOURS.items()}
    said["repurchase"] = SparseScores(readings.fading.rows, readings.fading.strengths)
    found = _Asking(said, readings.lasting, query, allowed, settings)
    every = found.joined(tables, index=index, vectors=vectors, named=named, passed_over=history.item_rows)
    return every.best(settings.at_most, named=named)


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
    wanted = Interest(item_rows, np.ones(len(item_rows), np.float32))
    said: dict[str, Scores] = {
        name: Neighbours(tables.neighbours[asked.table], wanted.rows, wanted.strengths)
        for name, asked in NEIGHBOURS.items()
    }
    found = _Asking(said, wanted, vectors[item_rows].mean(axis=0), allowed, settings)
    return found.joined(tables, index=index, vectors=vectors, passed_over=item_rows)


@dataclass(frozen=True)
class _Asking:
    """What is known of one request before its sources propose."""

    said: Mapping[str, Scores]
    """By the sources whose best scores are their proposals."""
    interest: Interest
    query: Floats
    allowed: NDArray[np.bool_]
    settings: CandidateSettings

    def joined(
        self, tables: SourceTables, *, index: Index, vectors: Floats, passed_over: Rows, named: Rows = NO_ROWS
    ) -> Candidates:
        """Every source's proposals and scores.

        Args:
            passed_over: items near the query that a rule may forbid; the index is asked for so many more.
        """
        popularity, settings = tables.popularity, self.settings
        sources = {name: Source(scores, at_most=getattr(settings, name)) for name, scores in self.said.items()}
        sources["two_tower"] = Source(None, proposals=self._nearest(index, passed_over))
        sources["popular"] = Source(popularity.recent, proposals=popularity.first(settings.popular, self.allowed))
        sources["trending"] = Source(popularity.trending, proposals=popularity.trending_order[: settings.trending])
        nothing = Source(None)
        found = joined([sources.get(name, nothing) for name in SOURCES], named, allowed=self.allowed)
        scores_into(found.scores[:, TWO_TOWER], vectors, found.rows, self.query)
        scores_into(found.scores[:, SPECTRAL], tables.factors.vectors, found.rows, tables.factors.query(self.interest))
        tables.interested.scores_into(found.scores[:, USER_KNN], self.interest, found.rows)
        for column, at_most in ((SPECTRAL, settings.spectral), (USER_KNN, settings.user_knn)):
            scores = found.scores[:, column]
            best = falling(scores)[:at_most]
            found.proposed[best[scores[best] > 0], column] = True
        return Candidates(found.rows, found.scores, found.proposed)

    def _nearest(self, index: Index, passed_over: Rows) -> Rows:
        wanted = self.settings.two_tower
        if not wanted:
            return NO_ROWS
        forbidden = distinct(passed_over[~self.allowed[passed_over]])
        nearest = index.search(self.query[None, :], wanted + len(forbidden))[0][0]
        return nearest[self.allowed[nearest]][:wanted]
