"""The demo shop: tables for any day, and the truth behind them."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

from ml.contract.columns import RAW_IMPRESSIONS
from ml.contract.errors import ContractError
from ml.contract.types import Floats, Rows
from ml.features.history import SECONDS_PER_DAY
from ml.features.vocabulary import Vocabulary
from ml.simulator.days import MAX_DELAY_DAYS, Happened, happened_on
from ml.simulator.dirt import with_dirt
from ml.simulator.events import Events
from ml.simulator.settings import ShopSettings
from ml.simulator.tables import (
    DayOfEvents,
    impressions_table,
    interactions_table,
    item_names,
    items_table,
    user_names,
    users_table,
)
from ml.simulator.truth import expected_purchases
from ml.simulator.world import World


@dataclass(frozen=True)
class Shop:
    """A shop with planted tastes. Any day can be asked for, in any order, for ever; days before the opening are empty."""

    world: World

    @classmethod
    def open(cls, settings: ShopSettings) -> Self:
        return cls(World.of(settings))

    @property
    def settings(self) -> ShopSettings:
        return self.world.settings

    def items(self, until: date) -> pa.Table:
        """The catalogue on a day (`RAW_ITEMS`): every item launched so far, its price and stock of that day."""
        return items_table(self.world, self._number(until))

    def users(self, until: date) -> pa.Table:
        """Users who had signed up by a day (`RAW_USERS`)."""
        return users_table(self.world, self._number(until))

    def day(self, day: date) -> DayOfEvents:
        """Rows that arrived on a day: its own, and late ones of the three days before."""
        return next(self.days(day, day))

    def days(self, start: date, end: date) -> Iterator[DayOfEvents]:
        """`day()` of each day of [start, end]; one pass, so a range costs no more than its days."""
        first, last = self._number(start), self._number(end)
        recent = deque([self._happened(day) for day in range(first - MAX_DELAY_DAYS, first)], maxlen=MAX_DELAY_DAYS + 1)
        for day in range(first, last + 1):
            recent.append(self._happened(day))
            yield self._arrived(day, recent)

    def affinity(self, user_ids: Sequence[str], item_ids: Sequence[str] | None = None) -> Floats:
        """Planted preference `[num_users, num_items]`: log of the purchases a day each user is expected to make of each
        item, before season, stock and passing interests. Ranking by it is as good as a model of lasting taste can get.

        Args:
            item_ids: Columns; by default every item the shop will ever launch, the order of `items()`.

        Raises:
            ContractError: an id is not of this shop.
        """
        item_rows = None if item_ids is None else _known_rows(self._items, item_ids)
        return expected_purchases(self.world, _known_rows(self._users, user_ids), item_rows)

    @cached_property
    def _users(self) -> Vocabulary:
        return Vocabulary(user_names(self.world))

    @cached_property
    def _items(self) -> Vocabulary:
        return Vocabulary(item_names(self.world))

    def _number(self, day: date) -> int:
        return (day - self.settings.opened_on).days

    def _happened(self, day: int) -> Happened | None:
        return with_dirt(self.world, happened_on(self.world, day)) if day >= 0 else None

    def _arrived(self, day: int, recent: "deque[Happened | None]") -> DayOfEvents:
        known = [happened for happened in recent if happened is not None]
        names = {"users": self._users.ids, "items": self._items.ids}
        arrived = [(happened.day, _arriving(happened, on=day)) for happened in known]
        interactions = interactions_table(self.world, arrived, landed=day, **names)
        today = [impressions_table(self.world, happened, **names) for happened in known if happened.day == day]
        return DayOfEvents(interactions, today[0] if today else RAW_IMPRESSIONS.empty_table())


def _arriving(happened: Happened, *, on: int) -> Events:
    return happened.events.where(happened.events.received // SECONDS_PER_DAY == on - happened.day)


def _known_rows(vocabulary: Vocabulary, ids: Sequence[str]) -> Rows:
    rows = vocabulary.rows(ids)
    if len(rows) and rows.min() < 0:
        unknown = ids[int(np.argmin(rows))]
        raise ContractError(f"Ids must be of this shop. Received: {unknown!r}. Take them from `users()` and `items()`.")
    return rows
