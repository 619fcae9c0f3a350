"""Items of one day grouped by kind, and the lists the shop shows from them under a policy whose odds are known."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows

LIST_LENGTH = 8
EXPLORATION = 0.2
"""Share of each slot's odds that is spread evenly."""


@dataclass(frozen=True)
class Shelves:
    """Items by kind: kind `k` holds `item_rows[starts[k]:starts[k + 1]]`."""

    item_rows: Rows
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, kinds: Rows, shown: NDArray[np.bool_], *, num_kinds: int) -> Self:
        found = np.flatnonzero(shown)
        rows = found[np.argsort(kinds[found], kind="stable")].astype(np.int32)
        return cls(rows, np.searchsorted(kinds[rows], np.arange(num_kinds + 1)))

    def of_kind(self, kind: int) -> Rows:
        return self.item_rows[self.starts[kind] : self.starts[kind + 1]]


@dataclass(frozen=True)
class ShownLists:
    """Shown places, list after list. Arrays `[num_shown]`."""

    request_rows: Rows
    item_rows: Rows
    positions: Rows
    """From 1."""
    propensities: NDArray[np.float64]
    """Probability with which the policy shows this very item at this very position of a list of this kind."""


@dataclass(frozen=True)
class LoggingPolicy:
    """Deals a shelf, most popular first, to as many hands as a list has places, draws one item of each hand, then turns
    the list by a random number of places. So no item occurs twice, every item can come to every place, and the chance
    of "item at position" is exact: its odds in its hand / places of the list. Over the items of a kind the chances of
    one position sum to 1.
    """

    items: Rows
    """`[num_kinds, LIST_LENGTH, depth]`, -1 where a hand is shorter."""
    odds: Floats
    """`[num_kinds, LIST_LENGTH, depth]`: odds inside the hand; 0 where it is shorter."""

    @classmethod
    def of(cls, shelves: Shelves, popularity: Floats) -> Self:
        num_kinds = len(shelves.starts) - 1
        depth = max(1, int(-(-np.diff(shelves.starts).max(initial=0) // LIST_LENGTH)))
        items = np.full((num_kinds, LIST_LENGTH * depth), -1, np.int32)
        for kind in range(num_kinds):
            shelf = shelves.of_kind(kind)
            items[kind, : len(shelf)] = shelf[np.argsort(-popularity[shelf], kind="stable")]
        hands = items.reshape(num_kinds, depth, LIST_LENGTH).transpose(0, 2, 1)
        held = hands >= 0
        weights = np.where(held, np.exp(popularity[hands]), 0)
        with np.errstate(invalid="ignore"):  # an empty hand is 0 / 0: no place of the list
            odds = (1 - EXPLORATION) * weights / weights.sum(axis=2, keepdims=True)
            odds += EXPLORATION * held / held.sum(axis=2, keepdims=True)
        return cls(hands, np.nan_to_num(odds).astype(np.float32))

    def show(self, rng: np.random.Generator, kinds: Rows) -> ShownLists:
        """A list for each request `[n]`."""
        bounds = np.cumsum(self.odds[kinds], axis=2)
        marks = rng.random(bounds.shape[:2], dtype=np.float32) * bounds[:, :, -1]
        picked = np.minimum((bounds <= marks[:, :, None]).sum(axis=2), bounds.shape[2] - 1)
        requests, hands = np.nonzero(bounds[:, :, -1] > 0)
        places = (self.items[:, :, 0] >= 0).sum(axis=1)[kinds]
        turns = (rng.random(len(kinds)) * places).astype(np.int64)
        chosen = kinds[requests], hands, picked[requests, hands]
        positions = (hands + turns[requests]) % places[requests] + 1
        order = np.lexsort((positions, requests))
        return ShownLists(
            request_rows=requests[order].astype(np.int32),
            item_rows=self.items[chosen][order],
            positions=positions[order].astype(np.int32),
            propensities=(self.odds[chosen].astype(np.float64) / places[requests])[order],
        )
