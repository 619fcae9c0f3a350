"""What users did with items in a window, by what a shop gets out of it: the ranker's goals, more finely told than `Goals`."""

from dataclasses import dataclass

import numpy as np

from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats, Rows
from ml.dataset.goals import Goals
from ml.features.log import InteractionLog

OUTCOMES = ("click", "conversion", "revenue")
HIGH_AMOUNT = 0.95
"""Quantile of the amounts of a window that counts as revenue 1; what brought more counts no more."""


@dataclass(frozen=True)
class Outcomes:
    """Users and the items each showed interest in, with what came of each pair."""

    goals: Goals
    values: Floats
    """`[num_pairs, len(OUTCOMES)]`, in the order of `goals.item_rows`, each in [0, 1]: 1; whether the goal was reached; what the goal
    brought, log(1 + amount) over that of a high amount."""

    def of(self, i: int, rows: Rows) -> Floats:
        """What came of `rows` for user `i` `[len(rows), len(OUTCOMES)]`, 0 where nothing did."""
        items, mine = self.goals.of(i), self.values[self.goals.starts[i] : self.goals.starts[i + 1]]
        places = np.minimum(np.searchsorted(items, rows), len(items) - 1)
        return np.where((items[places] == rows)[:, None], mine[places], np.float32(0))


def outcomes_between(log: InteractionLog, start: int, end: int, *, event_type: EventType) -> Outcomes:
    """Outcomes of [start, end), the goal being an event of one type."""
    happened = log.between(start, end)
    liked = happened.where(_SPEAKS_FOR[happened.event_codes])
    num_items = int(liked.item_rows.max(initial=0)) + 1
    pairs, owners = np.unique(liked.user_rows.astype(np.int64) * num_items + liked.item_rows, return_inverse=True)
    reached = liked.event_codes == event_type.code
    amounts = np.bincount(owners, np.where(reached, np.nan_to_num(liked.amount), 0), len(pairs))
    converted = np.bincount(owners, reached, len(pairs)) > 0
    users, starts = np.unique(pairs // num_items, return_index=True)
    goals = Goals(
        users.astype(np.int32), np.append(starts, len(pairs)).astype(np.int64), (pairs % num_items).astype(np.int32)
    )
    columns = (np.ones(len(pairs)), converted, _as_share(amounts, converted))
    return Outcomes(goals, np.stack(columns, axis=1).astype(np.float32))


_SPEAKS_FOR = np.array([EVENT_WEIGHTS[event_type] > 0 for event_type in EVENT_TYPES])


def _as_share(amounts: np.ndarray, converted: np.ndarray) -> np.ndarray:
    """Of a high amount; all 1 where no goal has an amount, so that revenue then says what conversion says."""
    known = amounts[amounts > 0]
    if not len(known):
        return converted.astype(np.float64)
    high = np.quantile(known, HIGH_AMOUNT)
    return np.minimum(np.log1p(amounts) / np.log1p(high), 1.0)
