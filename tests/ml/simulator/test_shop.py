"""The demo shop keeps its promises: determinism, causality, a stated logging policy."""

from datetime import date, timedelta
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEMS, RAW_USERS
from ml.contract.errors import ContractError
from ml.simulator import Shop, ShopSettings
from ml.simulator.conditions import stock_levels
from ml.simulator.days import MAX_DELAY_DAYS
from tests.demo_shop import AS_OF, tiny_settings
from tests.ml.simulator.conftest import OpenedShop

A_DAY = date(2026, 5, 1)


def digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sha256(sink.getvalue()).hexdigest()


def tables_of(settings: ShopSettings) -> list[pa.Table]:
    shop = Shop.open(settings)
    day = shop.day(A_DAY)
    return [day.interactions, day.impressions, shop.items(A_DAY), shop.users(A_DAY)]


def test_the_same_seed_gives_the_same_bytes():
    first, second = tables_of(tiny_settings()), tables_of(tiny_settings())
    assert [digest(table) for table in first] == [digest(table) for table in second]


def test_another_seed_gives_another_shop():
    first, second = tables_of(tiny_settings(seed=7)), tables_of(tiny_settings(seed=8))
    assert all(digest(a) != digest(b) for a, b in zip(first, second, strict=True))


def test_tables_have_the_columns_of_the_contract(tiny: OpenedShop):
    assert tiny.interactions.schema == RAW_INTERACTIONS
    assert tiny.impressions.schema == RAW_IMPRESSIONS
    assert tiny.items.schema == RAW_ITEMS
    assert tiny.users.schema == RAW_USERS


def test_a_day_alone_equals_that_day_of_a_range(tiny: OpenedShop):
    alone = tiny.shop.day(A_DAY)
    of_range = list(tiny.shop.days(A_DAY - timedelta(days=2), A_DAY))[-1]
    assert alone.interactions.equals(of_range.interactions)
    assert alone.impressions.equals(of_range.impressions)


def test_days_before_the_opening_are_empty(tiny: OpenedShop):
    before = tiny.shop.day(tiny.shop.settings.opened_on - timedelta(days=1))
    assert len(before.interactions) == len(before.impressions) == 0


def test_a_shop_of_seven_years_still_has_customers(tiny: OpenedShop):
    late = tiny.shop.day(tiny.shop.settings.opened_on + timedelta(days=7 * 365))
    assert len(late.interactions) > 100
    assert len(late.impressions) > 50


def test_tiny_has_the_size_it_promises(tiny: OpenedShop):
    assert 30_000 <= len(tiny.interactions) <= 45_000
    assert 270 <= len(tiny.users) <= 330
    assert 180 <= len(tiny.items) <= 220


def test_rows_land_on_the_day_they_arrive(tiny: OpenedShop):
    arrived = tiny.interactions["received_at"].cast(pa.date32())
    assert arrived.equals(tiny.interactions["landed_on"])


def test_a_small_share_arrives_one_to_three_days_late(tiny: OpenedShop):
    rows = tiny.clean()
    late = pc.days_between(rows["occurred_at"], rows["received_at"]).to_numpy()
    assert late.max() <= MAX_DELAY_DAYS
    assert 0.01 < (late >= 1).mean() < 0.04


def test_nobody_acts_before_signing_up(tiny: OpenedShop):
    joined = tiny.clean().join(tiny.users, "user_id", join_type="inner")
    assert len(joined) == len(tiny.clean())
    assert pc.all(pc.greater(joined["occurred_at"], joined["signed_up_at"])).as_py()


def test_nothing_is_touched_before_its_launch(tiny: OpenedShop):
    joined = tiny.clean().join(tiny.items, "item_id", join_type="inner")
    assert len(joined) == len(tiny.clean())
    assert pc.all(pc.greater_equal(joined["occurred_at"], joined["created_at"])).as_py()


def test_users_and_items_appear_over_time(tiny: OpenedShop):
    opening = tiny.shop.settings.opened_on
    assert len(tiny.shop.users(opening)) < len(tiny.shop.users(opening + timedelta(days=60))) < len(tiny.users)
    assert len(tiny.shop.items(opening)) < len(tiny.shop.items(opening + timedelta(days=60))) < len(tiny.items)


@pytest.mark.parametrize("event_type", ["purchase", "cart_add"])
def test_what_is_out_of_stock_is_not_bought(tiny: OpenedShop, event_type: str):
    rows = tiny.clean()
    rows = rows.filter(pc.equal(rows["event_type"], event_type))
    day = pc.days_between(pa.scalar(tiny.shop.settings.opened_on), rows["occurred_at"].cast(pa.date32())).to_numpy()
    item = np.array([int(item_id[1:]) - 100_000 for item_id in rows["item_id"].to_pylist()])
    levels = np.stack([stock_levels(tiny.shop.world, number) for number in range(day.max() + 1)])
    assert (levels[:, : len(tiny.items)] == 0).mean() > 0.02
    assert levels[day, item].min() > 0


def test_events_name_the_list_that_led_to_them(tiny: OpenedShop):
    led = tiny.clean()
    led = led.filter(pc.is_valid(led["request_id"]))
    shown = tiny.impressions.select(["request_id", "user_id", "item_id"])
    assert len(led) > 3_000
    assert len(led.join(shown, ["request_id", "user_id", "item_id"], join_type="left anti")) == 0
    assert {"click", "recommendation_click", "cart_add", "purchase"} <= set(led["event_type"].to_pylist())


def test_propensities_are_probabilities(tiny: OpenedShop):
    propensity = tiny.impressions["propensity"].to_numpy()
    assert propensity.min() > 0
    assert propensity.max() <= 1


def test_a_list_shows_each_position_and_item_once(tiny: OpenedShop):
    for key in ("position", "item_id"):
        once = tiny.impressions.group_by(["request_id", key]).aggregate([([], "count_all")])
        assert len(once) == len(tiny.impressions)


def test_affinity_refuses_strangers(tiny: OpenedShop):
    with pytest.raises(ContractError, match=r"Ids must be of this shop\. Received: 'nobody'"):
        tiny.shop.affinity(["nobody"])


def test_affinity_has_a_row_per_user_and_a_column_per_item(tiny: OpenedShop):
    users, items = tiny.users["user_id"].to_pylist()[:5], tiny.items["item_id"].to_pylist()
    affinity = tiny.shop.affinity(users, items)
    assert affinity.shape == (5, len(items))
    assert np.isfinite(affinity).all()
    assert len(tiny.shop.affinity(users)[0]) == len(tiny.shop.items(AS_OF + timedelta(days=10 * 365)))
