"""What one person did, newest last: the one shape of user state in training, replay and a live request."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from ml.contract.types import Codes, Floats, Rows, Seconds
from ml.features.log import InteractionLog

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class History:
    """Events of one person in the order they happened. All arrays `[num_events]`; rows are of the catalogue in use."""

    item_rows: Rows
    event_codes: Codes
    occurred_at: Seconds
    quantity: Floats

    @classmethod
    def empty(cls) -> Self:
        return cls(np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.item_rows)

    def then(self, later: Self) -> Self:
        """This history followed by another one."""
        return type(self)(
            np.concatenate([self.item_rows, later.item_rows]),
            np.concatenate([self.event_codes, later.event_codes]),
            np.concatenate([self.occurred_at, later.occurred_at]),
            np.concatenate([self.quantity, later.quantity]),
        )

    def taken(self, positions: Seconds) -> Self:
        """The events at `positions [n]`, in that order."""
        return type(self)(
            self.item_rows[positions],
            self.event_codes[positions],
            self.occurred_at[positions],
            self.quantity[positions],
        )


@dataclass(frozen=True)
class Histories:
    """Every user's history in one block: user `u` owns the slice `starts[u]:starts[u + 1]`, oldest first."""

    starts: Seconds
    """`[num_users + 1]`."""
    item_rows: Rows
    event_codes: Codes
    occurred_at: Seconds
    quantity: Floats

    @classmethod
    def of(cls, log: InteractionLog, *, num_users: int, last: int | None = None) -> Self:
        """Group a log by user, keeping the newest `last` events of each (all when None)."""
        order = np.argsort(log.user_rows, kind="stable")  # stable: time order inside a user survives
        starts = np.searchsorted(log.user_rows[order], np.arange(num_users + 1)).astype(np.int64)
        if last is not None:
            ends = np.repeat(starts[1:], np.diff(starts))
            kept = np.arange(len(order)) >= ends - last
            order = order[kept]
            starts = np.concatenate([[0], np.cumsum(np.minimum(np.diff(starts), last))]).astype(np.int64)
        return cls(starts, log.item_rows[order], log.event_codes[order], log.occurred_at[order], log.quantity[order])

    @cached_property
    def num_users(self) -> int:
        return len(self.starts) - 1

    def of_user(self, user_row: int) -> History:
        """One user's history; empty for row -1."""
        if user_row < 0:
            return History.empty()
        mine = slice(self.starts[user_row], self.starts[user_row + 1])
        return History(self.item_rows[mine], self.event_codes[mine], self.occurred_at[mine], self.quantity[mine])
