"""Another order of the first candidates: what comes next is worth its score, less its likeness to what stands above it.

Maximal marginal relevance (Carbonell and Goldstein 1998, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
Producing Summaries"). With S what was chosen so far, the next item is the one with the largest

    relevance x r(i) - (1 - relevance) x max over j in S of s(i, j)

where r(i) is how far i's score lies on the way from the pool's lowest (0) to its highest (1), and s(i, j) the cosine of the two
items' vectors, 0 where that is negative: what points elsewhere is different enough. The best item stays first.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Rows


class DiversitySettings(BaseModel):
    """Travels in the bundle, in `request.json`. A list the caller named (`rank`) stays in the order of its scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relevance: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Lambda of maximal marginal relevance: 1, the order of scores, is off; 0 looks at likeness alone. "
        "The report's curve shows what a value costs and brings.",
    )
    pool: int = Field(50, ge=2, le=500, description="So many items, the best by score, change places among themselves.")

    @property
    def is_on(self) -> bool:
        return self.relevance < 1


@dataclass(frozen=True)
class Varied:
    """Ranked items in their new order, and what decided about the first of them."""

    rows: Rows
    """`[num_ranked]`: the pool as chosen, behind it the others as they were."""
    relevance: Floats
    """`[pool]` r of each chosen item; empty when nothing was to change."""
    likeness: Floats
    """`[pool]` the cosine of each to the item above it that is most like it, when it was chosen; 0 of the first."""
    likest: Rows
    """`[pool]` which item that is; -1 of the first, and where nothing above is like it."""

    def place_of(self, row: int) -> int | None:
        """Place of an item in the pool, from 0; None where likeness said nothing of it."""
        found = np.flatnonzero(self.rows[: len(self.relevance)] == row)
        return int(found[0]) if len(found) else None

    @classmethod
    def as_ranked(cls, rows: Rows) -> Self:
        nothing = np.empty(0, np.float32)
        return cls(rows, nothing, nothing, np.empty(0, np.int32))


def varied(rows: Rows, scores: Floats, vectors: Floats, *, settings: DiversitySettings) -> Varied:
    """The items by marginal relevance; of equals the one ranked higher comes first, so that the same request gives the same list.

    The first k places are the same however many are looked at. Time grows as pool x pool x dimension.

    Args:
        rows: best first.
        scores: `[len(rows)]`, falling.
        vectors: `[num_items, dimension]` of unit length.
    """
    pool = min(settings.pool, len(rows))
    if not settings.is_on or pool < 2:
        return Varied.as_ranked(rows)
    own = vectors[rows[:pool]]
    likenesses = np.maximum(own @ own.T, np.float32(0))
    relevance = _from_lowest_to_highest(scores[:pool])
    order, nearest = _by_marginal_relevance(relevance, likenesses, weight=settings.relevance)
    chosen = rows[:pool][order]
    likest = np.where(nearest >= 0, rows[:pool][nearest], -1).astype(np.int32)
    likeness = np.where(nearest >= 0, likenesses[order, nearest], np.float32(0))
    return Varied(np.concatenate([chosen, rows[pool:]]), relevance[order], likeness, likest)


def _from_lowest_to_highest(falling: Floats) -> Floats:
    """Scores as shares of the way from the last to the first; all 1 where they are equal."""
    span = falling[0] - falling[-1]
    return (falling - falling[-1]) / span if span > 0 else np.ones_like(falling)


def _by_marginal_relevance(relevance: Floats, likenesses: Floats, *, weight: float) -> tuple[Rows, Rows]:
    """Positions in the order they are chosen, and of each the chosen one above that it is most like `[pool]` (-1: none)."""
    wanted = np.float32(weight) * relevance
    penalty = np.float32(1 - weight) * likenesses
    most, likest = np.zeros_like(wanted), np.full(len(wanted), -1, np.int32)
    order, above = np.empty(len(wanted), np.int32), np.empty(len(wanted), np.int32)
    for place in range(len(wanted)):
        position = int(np.argmax(wanted - most))
        order[place], above[place] = position, likest[position]
        nearer = penalty[position] > most
        most[nearer], likest[nearer] = penalty[position][nearer], position
        wanted[position] = -np.inf
    return order, above
