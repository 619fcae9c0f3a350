"""The demo shop as a source."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import pyarrow as pa

from ml.contract.columns import RAW_ITEM_EMBEDDINGS
from ml.simulator import Shop, ShopSettings


@dataclass(frozen=True)
class DemoSource:
    """A simulated shop, open from `settings.opened_on` to `until`."""

    settings: ShopSettings
    until: date

    def first_day(self) -> date:
        return self.settings.opened_on

    def last_day(self) -> date:
        return self.until

    def interactions(self, start: date, end: date) -> Iterator[pa.Table]:
        return (day.interactions for day in self._shop.days(start, end))

    def impressions(self, start: date, end: date) -> Iterator[pa.Table]:
        return (day.impressions for day in self._shop.days(start, end))

    def items(self) -> pa.Table:
        return self._shop.items(self.until)

    def item_embeddings(self) -> pa.Table:
        return RAW_ITEM_EMBEDDINGS.empty_table()

    def users(self) -> pa.Table:
        return self._shop.users(self.until)

    def describe(self) -> str:
        return f"demo shop, size {self.settings.size}, seed {self.settings.seed}"

    @cached_property
    def _shop(self) -> Shop:
        return Shop.open(self.settings)
