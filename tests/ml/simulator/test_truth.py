"""What is planted can be found: taste above popularity, repetition, coherent sessions, and drift only where switched on."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from ml.features.vocabulary import Vocabulary
from ml.simulator import Shop
from tests.demo_shop import AS_OF, tiny_settings
from tests.ml.simulator.conftest import OpenedShop

WEEK = timedelta(days=7)


def purchases(tiny: OpenedShop) -> tuple[NDArray[np.int32], NDArray[np.int32], Vocabulary, Vocabulary]:
    users, items = (
        Vocabulary(tiny.users["user_id"].combine_chunks()),
        Vocabulary(tiny.items["item_id"].combine_chunks()),
    )
    rows = tiny.clean()
    rows = rows.filter(pc.equal(rows["event_type"], "purchase"))
    return users.rows(rows["user_id"]), items.rows(rows["item_id"]), users, items


def rank_share(scores: NDArray[np.float32], item_rows: NDArray[np.int32]) -> float:
    """Mean share of the catalogue that is ranked above the bought item: 0 is best, 0.5 is chance."""
    bought = np.take_along_axis(scores, item_rows[:, None], axis=1)
    return float((scores > bought).mean())


def test_planted_affinity_ranks_purchases_far_better_than_popularity(tiny: OpenedShop):
    user_rows, item_rows, users, items = purchases(tiny)
    affinity = tiny.shop.affinity(users.ids.to_pylist(), items.ids.to_pylist())
    popularity = np.bincount(item_rows, minlength=len(items)).astype(np.float32)
    by_taste = rank_share(affinity[user_rows], item_rows)
    by_popularity = rank_share(np.broadcast_to(popularity, (len(item_rows), len(items))), item_rows)
    assert by_popularity < 0.35
    assert by_taste < by_popularity / 2


def test_popularity_is_skewed(tiny: OpenedShop):
    _, item_rows, _, items = purchases(tiny)
    counts = np.sort(np.bincount(item_rows, minlength=len(items)))[::-1]
    assert counts[: len(items) // 10].sum() / counts.sum() > 0.3


def test_people_buy_consumables_again_more_than_other_things(tiny: OpenedShop):
    user_rows, item_rows, _, _ = purchases(tiny)
    category = np.array(tiny.items["category"].to_pylist())[item_rows]
    pairs = user_rows.astype(np.int64) * 10_000 + item_rows

    def repeat_share(mask: NDArray[np.bool_]) -> float:
        return float(1 - len(np.unique(pairs[mask])) / mask.sum())

    consumable = np.isin(category, ["coffee", "tea"])
    assert repeat_share(consumable) > 1.5 * repeat_share(~consumable)


def test_a_session_stays_in_one_category(tiny: OpenedShop):
    looks = tiny.of_type("view")
    looks = looks.filter(pc.is_valid(looks["session_id"])).join(tiny.items, "item_id", join_type="inner")
    per_session = looks.group_by("session_id").aggregate([("category", "count_distinct"), ("category", "count")])
    several = per_session.filter(pc.greater(per_session["category_count"], 2))
    assert len(several) > 500
    assert pc.mean(several["category_count_distinct"]).as_py() < 1.1


def test_last_weeks_interest_says_more_of_this_week_than_an_older_one(tiny: OpenedShop):
    looks = tiny.of_type("view").join(tiny.items, "item_id", join_type="inner")
    age = pc.days_between(looks["occurred_at"].cast(pa.date32(), safe=False), pa.scalar(AS_OF)).to_numpy()
    user, kind = np.array(looks["user_id"].to_pylist()), np.array(looks["sub_category"].to_pylist())

    def pairs(days: range) -> set[tuple[str, str]]:
        chosen = np.isin(age, list(days))
        return set(zip(user[chosen].tolist(), kind[chosen].tolist(), strict=True))

    now, last, older = pairs(range(5)), pairs(range(5, 10)), pairs(range(60, 65))
    assert len(now & last) > 1.15 * len(now & older)


def psi(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """Population stability index on deciles of the reference: sum of (c - r) ln(c / r)."""
    edges = np.quantile(reference, np.linspace(0, 1, 11)[1:-1])
    shares = [np.bincount(np.searchsorted(edges, x), minlength=10) / len(x) for x in (reference, current)]
    r, c = (np.maximum(share, 1e-4) for share in shares)
    return float(((c - r) * np.log(c / r)).sum())


def prices(shop: Shop, start: date, end: date) -> NDArray[np.float64]:
    table = pa.concat_tables([day.interactions for day in shop.days(start, end)])
    return table["price"].drop_null().to_numpy()


def category_shares(shop: Shop, start: date, end: date) -> dict[str, float]:
    table = pa.concat_tables([day.interactions for day in shop.days(start, end)])
    counts = (
        table.join(shop.items(end), "item_id", join_type="inner").group_by("category").aggregate([([], "count_all")])
    )
    return {row["category"]: row["count_all"] / len(table) for row in counts.to_pylist()}


@pytest.mark.parametrize(
    ("drift_from", "low", "high"), [(None, 0.0, 0.1), (AS_OF - WEEK + timedelta(days=1), 0.2, 10.0)]
)
def test_prices_drift_only_when_told_to(drift_from: date | None, low: float, high: float):
    shop = Shop.open(tiny_settings(drift_from=drift_from))
    reference = prices(shop, AS_OF - timedelta(days=89), AS_OF - 2 * WEEK)
    current = prices(shop, AS_OF - WEEK + timedelta(days=1), AS_OF)
    assert low <= psi(reference, current) < high


def test_drift_shifts_categories_and_buying_too(tiny: OpenedShop):
    drifted = Shop.open(tiny_settings(drift_from=AS_OF - WEEK))
    start = AS_OF - WEEK
    before, after = category_shares(tiny.shop, start, AS_OF), category_shares(drifted, start, AS_OF)
    assert max(abs(after[name] - before[name]) for name in before) > 0.1

    def carts(shop: Shop) -> float:
        types = pa.concat_tables([day.interactions for day in shop.days(start, AS_OF)])["event_type"].to_pylist()
        return types.count("cart_add") / types.count("view")

    assert carts(drifted) < 0.75 * carts(tiny.shop)


def test_drift_leaves_the_days_before_it_as_they_were(tiny: OpenedShop):
    drifted = Shop.open(tiny_settings(drift_from=AS_OF))
    day = AS_OF - timedelta(days=1)
    assert drifted.day(day).interactions.equals(tiny.shop.day(day).interactions)
