"""What a list is judged by: which items each known user went on to buy."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Rows, Seconds
from ml.features.log import InteractionLog


@dataclass(frozen=True)
class Goals:
    """Users `[n]` who reached a goal in a window, and the distinct items of each."""

    user_rows: Rows
    starts: Seconds
    """`[n + 1]`: user i's items are `item_rows[starts[i]:starts[i + 1]]`."""
    item_rows: Rows

    def __len__(self) -> int:
        return len(self.user_rows)

    def of(self, i: int) -> Rows:
        return self.item_rows[self.starts[i] : self.starts[i + 1]]

    def at_most(self, num_users: int) -> Self:
        """The goals of at most so many users, evenly taken in the order of user rows (pseudonyms have no order of their own)."""
        if len(self) <= num_users:
            return self
        kept = np.linspace(0, len(self) - 1, num_users).astype(np.int64)
        counts = np.diff(self.starts)
        starts = np.concatenate([[0], np.cumsum(counts[kept])])
        taken = np.zeros(len(self), np.bool_)
        taken[kept] = True
        return type(self)(self.user_rows[kept], starts, self.item_rows[taken.repeat(counts)])


def goal_event(log: InteractionLog, preferred: EventType = EventType.PURCHASE) -> EventType:
    """The event a shop lives by: the preferred one, or the heaviest its log knows (a news site has no purchases)."""
    present = {EVENT_TYPES[code] for code in np.unique(log.event_codes)}
    return preferred if preferred in present else max(present, key=EVENT_WEIGHTS.__getitem__)


def goals_between(log: InteractionLog, start: int, end: int, *, event_type: EventType) -> Goals:
    """Goals reached in [start, end)."""
    reached = log.between(start, end).of_types([event_type.code])
    pairs = np.unique(np.stack([reached.user_rows, reached.item_rows], axis=1), axis=0)
    users, starts = np.unique(pairs[:, 0], return_index=True)
    return Goals(users.astype(np.int32), np.append(starts, len(pairs)).astype(np.int64), pairs[:, 1].astype(np.int32))
