"""One tiny shop, open for 120 days."""

from dataclasses import dataclass

import pyarrow as pa
import pytest

from ml.simulator import Shop
from tests.demo_shop import AS_OF, tiny_settings


@dataclass(frozen=True)
class OpenedShop:
    """A shop and all that arrived until `AS_OF`."""

    shop: Shop
    interactions: pa.Table
    impressions: pa.Table
    items: pa.Table
    users: pa.Table

    def of_type(self, event_type: str) -> pa.Table:
        return self.interactions.filter(pa.compute.equal(self.interactions["event_type"], event_type))

    def clean(self) -> pa.Table:
        """Rows without a planted fault, returns aside (these come days after their purchase)."""
        t, pc = self.interactions, pa.compute
        on_time = pc.less_equal(t["occurred_at"], t["received_at"])
        not_old = pc.less(pc.days_between(t["occurred_at"], t["received_at"]), 10)
        known = pc.and_(pc.is_valid(t["user_id"]), pc.is_valid(t["item_id"]))
        human = pc.invert(pc.starts_with(t["user_id"], "bot-"))
        return t.filter(pc.and_(pc.and_(on_time, not_old), pc.and_(known, human)))


@pytest.fixture(scope="session")
def tiny() -> OpenedShop:
    shop = Shop.open(tiny_settings())
    days = list(shop.days(shop.settings.opened_on, AS_OF))
    return OpenedShop(
        shop=shop,
        interactions=pa.concat_tables([day.interactions for day in days]),
        impressions=pa.concat_tables([day.impressions for day in days]),
        items=shop.items(AS_OF),
        users=shop.users(AS_OF),
    )
