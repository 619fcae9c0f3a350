"""The pulse of a catalogue, from the events known at a cut."""

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Seconds
from ml.dataset.goals import goal_event
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog
from ml.runtime.interest import WEIGHT_OF_CODE
from ml.runtime.pulse import PULSE, Pulse

MEAN_DAYS = 30.0
"""Days between purchases where nobody ever came back."""
PRIOR_RETURNS = 3.0
"""An item's own days between purchases count for as many returns as it has, those of the whole shop for so many."""
PRIOR_BUYERS = 5.0
PRIOR_BUYERS_28D = 10.0
"""Buyers added to the denominators of shares, so that one buyer who came back makes no share of 1."""


def pulse_of(log: InteractionLog, *, num_items: int, cut: int) -> Pulse:
    """Of a log that ends before `cut`."""
    occasions = _Occasions(log, num_items=num_items, cut=cut) if len(log) else None
    if occasions is None:
        return Pulse(np.zeros((num_items, len(PULSE)), np.float32))
    likes = log.where(WEIGHT_OF_CODE[log.event_codes] > 0)
    ages = (cut - likes.occurred_at) / SECONDS_PER_DAY
    events = {f"events_{days}d": np.bincount(likes.item_rows[ages <= days], minlength=num_items) for days in (1, 3)}
    columns = events | occasions.columns()
    return Pulse(np.stack([columns[name] for name in PULSE], axis=1).astype(np.float32))


class _Occasions:
    """Days on which one user bought one item, ordered by user, item and day. All arrays `[num_occasions]`."""

    def __init__(self, log: InteractionLog, *, num_items: int, cut: int) -> None:
        bought = log.of_types([goal_event(log).code])
        day = bought.occurred_at // SECONDS_PER_DAY
        pair = bought.user_rows.astype(np.int64) * num_items + bought.item_rows
        order = np.lexsort((day, pair))
        pair, day = pair[order], day[order]
        distinct = np.concatenate([[True], (pair[1:] != pair[:-1]) | (day[1:] != day[:-1])])
        self._num_items = num_items
        self._pair, self._day = pair[distinct], day[distinct]
        self._item = self._pair % num_items
        self._age = cut // SECONDS_PER_DAY - self._day
        self._again = np.concatenate([[False], self._pair[1:] == self._pair[:-1]])
        """Not the first one of its user with its item."""

    def columns(self) -> dict[str, NDArray[np.float64]]:
        lately = self._age <= 28
        buyers, returning = self._count(~self._again), self._count(self._is_second())
        last_14, before = self._count(self._age <= 14), self._count((self._age > 14) & (self._age <= 60))
        again = self._count(lately & self._again)
        return {
            "buyers_3d": self._count(self._age <= 3),
            "buyers_14d": last_14,
            "buyers_60d": last_14 + before,
            "trend_14d": (last_14 + 0.5) / (before * 14 / 46 + 0.5),
            "new_buyers_28d": self._count(lately & ~self._again),
            "returning_buyers_28d": again,
            "returning_rate_28d": again / (buyers + PRIOR_BUYERS_28D),
            "returning_share": returning / (buyers + PRIOR_BUYERS),
            "days_between_purchases": self._days_between(),
        }

    def _count(self, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(self._item[which], minlength=self._num_items).astype(np.float64)

    def _is_second(self) -> NDArray[np.bool_]:
        return self._again & ~np.concatenate([[False], self._again[:-1]])

    def _days_between(self) -> NDArray[np.float64]:
        again = np.flatnonzero(self._again)
        days: Seconds = self._day[again] - self._day[again - 1]
        mean = float(days.mean()) if len(days) else MEAN_DAYS
        summed = np.bincount(self._item[again], weights=days, minlength=self._num_items)
        return (summed + PRIOR_RETURNS * mean) / (self._count(self._again) + PRIOR_RETURNS)
