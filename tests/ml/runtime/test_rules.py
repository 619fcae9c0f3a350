"""Boosts never punish; limits hold among the first ten, also where popular items complete a list."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ml.contract.events import EventType
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.enrich import FEATURES
from ml.runtime.places import Spread, _popular, behind
from ml.runtime.popular import Popularity
from ml.runtime.recommend import Scored, recommend
from ml.runtime.requests import HomeRequest, ProductRequest
from ml.runtime.rules import Rules, boosts
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event, state_of
from tests import world
from tests.ml.runtime.shops import EFFORT, with_columns

NOW = world.CUT + timedelta(hours=10)


def ruled(bundle, *, columns=None, **rules):
    items = with_columns(bundle.items, **columns) if columns else bundle.items
    return replace(bundle, items=items, settings=RequestSettings(rules=Rules(**rules)))


def with_interest(bundle, interest):
    popularity = Popularity(interest, np.zeros_like(interest), np.zeros_like(interest))
    return replace(bundle, sources=replace(bundle.sources, popularity=popularity))


def scored(scores: np.ndarray, *, learned: bool) -> Scored:
    count = len(scores)
    nothing = np.zeros((count, len(SOURCES)), np.float32)
    candidates = Candidates(np.arange(count, dtype=np.int32), nothing, nothing > 0)
    return Scored(candidates, scores, np.zeros((count, len(FEATURES)), np.float32) if learned else None)


SCORES = arrays.arrays(np.float32, 6, elements=st.floats(-8, 8, width=32))
FACTORS = arrays.arrays(np.float32, 6, elements=st.floats(1, 4, width=32))


@EFFORT
@given(scores=SCORES, factors=FACTORS, learned=st.booleans())
def test_a_boost_never_lowers_a_score_and_a_larger_one_never_gives_less(scores, factors, learned):
    scores = scores if learned else np.abs(scores)
    some = scored(scores, learned=learned)
    assert (some.boosted(factors) >= scores).all()
    assert (some.boosted(factors * np.float32(1.5)) >= some.boosted(factors)).all()


@EFFORT
@given(scores=SCORES, factor=st.floats(1, 4, width=32))
def test_the_same_boost_for_all_moves_all_alike(scores, factor):
    gained = scored(scores, learned=True).boosted(np.full(6, factor, np.float32)) - scores
    assert gained == pytest.approx(np.full(6, log(factor)), abs=1e-5)


def test_a_boosted_ranker_score_multiplies_the_strength():
    boosted = scored(np.array([-2.0], np.float32), learned=True).boosted(np.array([1.1], np.float32))
    assert exp(boosted[0]) == pytest.approx(1.1 * exp(-2.0), rel=1e-5)


def test_a_new_item_is_boosted_by_its_age(bundle):
    opened = world.CUT.replace(tzinfo=None)
    born = [opened - timedelta(days=age) if age is not None else None for age in [0, 30, None, *[900] * 37]]
    shop = ruled(bundle, columns={"created_at": born, "first_seen_at": born}, freshness_boost=0.1)
    factors = boosts(
        shop.items,
        shop.settings.rules,
        np.arange(4, dtype=np.int32),
        at=int(world.CUT.timestamp()),
        exposure=shop.exposure,
    )
    assert factors == pytest.approx([1.1, 1 + 0.1 * exp(-1), 1.0, 1 + 0.1 * exp(-30)])


def test_a_new_seller_is_boosted_by_the_age_of_their_first_item(bundle):
    opened = world.CUT.replace(tzinfo=None)
    ages, sellers = [60, 0, 0, 0, *[60] * 36], ["old", "old", "new", None, *["old"] * 36]
    born = [opened - timedelta(days=age) for age in ages]
    columns = {"created_at": born, "first_seen_at": born, "seller_id": sellers}
    shop = ruled(bundle, columns=columns, new_seller_boost=0.2)
    factors = boosts(
        shop.items,
        shop.settings.rules,
        np.arange(4, dtype=np.int32),
        at=int(world.CUT.timestamp()),
        exposure=shop.exposure,
    )
    assert factors == pytest.approx([1 + 0.2 * exp(-2), 1 + 0.2 * exp(-2), 1.2, 1.0])


def test_what_finds_less_than_an_even_share_of_interest_is_boosted_by_what_it_lacks(bundle):
    interest = np.zeros(world.NUM_ITEMS, np.float32)
    interest[:4] = [0, 5, 10, 105]  # 39 items may be shown (the last is out of stock), so an even share is 120 / 39
    shop = with_interest(ruled(bundle, exposure_boost=0.4), interest)
    factors = boosts(shop.items, shop.settings.rules, np.arange(4, dtype=np.int32), at=0, exposure=shop.exposure)
    assert factors == pytest.approx([1.4, 1.0, 1.0, 1.0])
    little = with_interest(shop, np.where(interest == 5, 1, interest).astype(np.float32))
    factors = boosts(shop.items, shop.settings.rules, np.arange(4, dtype=np.int32), at=0, exposure=little.exposure)
    assert factors == pytest.approx([1.4, 1 + 0.4 * (1 - 39 / 116), 1.0, 1.0])


def test_a_seller_is_boosted_by_what_their_mean_item_lacks(bundle):
    interest = np.zeros(world.NUM_ITEMS, np.float32)
    interest[:4] = [8, 0, 1, 30]
    sellers = ["a", "a", "b", "b", None, *["c"] * 35]  # mean items: 4, 31 / 2, and 0 of those of c; an even share is 1
    shop = with_interest(ruled(bundle, columns={"seller_id": sellers}, seller_exposure_boost=0.5), interest)
    rows = np.array([0, 1, 2, 4, 5], np.int32)
    factors = boosts(shop.items, shop.settings.rules, rows, at=0, exposure=shop.exposure)
    assert factors == pytest.approx([1, 1, 1, 1, 1.5])


def test_where_nobody_is_interested_in_anything_everybody_has_an_even_share(bundle):
    shop = with_interest(
        ruled(bundle, exposure_boost=1.0, seller_exposure_boost=1.0), np.zeros(world.NUM_ITEMS, np.float32)
    )
    factors = boosts(shop.items, shop.settings.rules, np.arange(4, dtype=np.int32), at=0, exposure=shop.exposure)
    assert factors == pytest.approx([1, 1, 1, 1])


def test_a_boost_of_the_overlooked_lifts_what_others_look_at_less(bundle):
    plain, lifted = (
        recommend(shop, HomeRequest(user_id=world.user_id(1), limit=39), now=NOW)
        for shop in (bundle, ruled(bundle, exposure_boost=1.0))
    )
    assert [item.item_id for item in lifted.items] != [item.item_id for item in plain.items]
    exposure = bundle.exposure.of_items
    seen = [exposure[[item.item_row for item in answer.items[:10]]].mean() for answer in (plain, lifted)]
    assert seen[1] < seen[0]


def test_without_boosts_nothing_is_computed(bundle):
    assert boosts(bundle.items, Rules(), np.arange(3, dtype=np.int32), at=0, exposure=bundle.exposure) is None


@pytest.mark.parametrize("user", [None, world.user_id(1)])
def test_being_new_lifts_an_item_and_never_lowers_it(bundle, user):
    request = HomeRequest(user_id=user, limit=39)
    before = [item.item_id for item in recommend(bundle, request, now=NOW).items]
    for lifted in before[5::7]:
        created = [world.CUT.replace(tzinfo=None) if f"i{n:03d}" == lifted else None for n in range(world.NUM_ITEMS)]
        shop = ruled(
            bundle, columns={"created_at": created, "first_seen_at": created}, freshness_boost=1.0, freshness_days=30
        )
        after = recommend(shop, request, now=NOW).items
        place = next(item.position for item in after if item.item_id == lifted)
        assert place <= before.index(lifted) + 1
        if user:
            old = next(item.score for item in recommend(bundle, request, now=NOW).items if item.item_id == lifted)
            factor = 1 + exp(-(NOW - world.CUT) / timedelta(days=30))
            assert after[place - 1].score == pytest.approx(old + log(factor), abs=1e-5)


def categories(answer) -> Counter:
    return Counter(world.category_of(int(item.item_id[1:])) for item in answer.items[:10])


@pytest.mark.parametrize(
    "request_of", [HomeRequest(), HomeRequest(user_id=world.user_id(1)), ProductRequest(item_id=world.item_id(2))]
)
def test_at_most_so_many_of_a_category_stand_among_the_first_ten(bundle, request_of):
    free, limited = (recommend(ruled(bundle, max_per_category_in_top_10=n), request_of, now=NOW) for n in (None, 3))
    assert max(categories(limited).values()) == 3
    assert len(limited.items) == len(free.items) == 12


def test_fillers_make_the_ten_as_mixed_as_they_must_be(bundle):
    """The two candidates are of one category; what completes the list must be of others."""
    request = RequestSettings.model_validate(
        {
            "candidates": dict.fromkeys(SOURCES, 0) | {"two_tower": 2, "popular": 1},
            "rules": {"max_per_category_in_top_10": 1},
        }
    )  # fmt: skip
    shop = replace(bundle, settings=request)
    answer = recommend(shop, HomeRequest(user_id=world.user_id(1), limit=4), now=NOW)
    assert sorted(categories(answer).values()) == [1, 1, 1, 1]


def test_limits_of_two_kinds_hold_at_once(bundle):
    sellers = [f"s{item % 9}" for item in range(world.NUM_ITEMS)]
    shop = ruled(bundle, columns={"seller_id": sellers}, max_per_category_in_top_10=3, max_per_seller_in_top_10=2)
    answer = recommend(shop, HomeRequest(user_id=world.user_id(1)), now=NOW)
    assert max(categories(answer).values()) == 3
    assert max(Counter(sellers[int(item.item_id[1:])] for item in answer.items[:10]).values()) == 2


def test_a_limit_no_catalogue_can_meet_still_gives_every_item_once():
    spread = Spread(("max_per_category_in_top_10",), (np.zeros(20, np.int32),), (1,))
    rows = np.arange(20, dtype=np.int32)
    assert behind(spread.first(rows), rows).tolist() == list(range(20))


def test_those_over_the_limit_stand_behind_the_tenth_place_in_their_order():
    groups = np.array([0] * 8 + [1] * 8 + [-1] * 4, np.int32)
    rows = np.arange(20, dtype=np.int32)
    first = Spread(("max_per_category_in_top_10",), (groups,), (3,)).first(rows)
    assert behind(first, rows).tolist() == [0, 1, 2, 8, 9, 10, 16, 17, 18, 19, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15]


@pytest.mark.parametrize(
    ("rules", "days_ago", "is_shown"),
    [
        ({}, 1, True),
        ({"exclude_purchased": True}, 1, False),
        ({"exclude_purchased": True}, 80, False),
        ({"exclude_purchased": True, "repurchase_after_days": 30}, 29, False),
        ({"exclude_purchased": True, "repurchase_after_days": 30}, 31, True),
        ({"exclude_purchased": True, "repeatable": ["c3"]}, 1, True),
        ({"exclude_purchased": True, "repeatable": ["c2"]}, 1, False),
    ],
)
def test_what_was_bought_returns_when_the_shop_says_so(bundle, rules, days_ago, is_shown):
    shop = ruled(bundle, **rules)
    bought = Event(world.item_id(3), EventType.PURCHASE, NOW - timedelta(days=days_ago))
    state = state_of(shop, shop.users.of(None), [bought], NOW)
    answer = recommend(shop, HomeRequest(limit=39), state=state, now=NOW)
    assert (world.item_id(3) in [item.item_id for item in answer.items]) is is_shown
    assert len(answer.items) == 38 + is_shown


@pytest.mark.parametrize(("hours", "is_shown"), [(None, True), (1, True), (3, False)])
def test_what_was_shown_a_moment_ago_rests_as_long_as_the_shop_says(bundle, hours, is_shown):
    shop = ruled(bundle, recently_shown_hours=hours)
    shown = {world.item_id(3): NOW - timedelta(hours=2)}
    state = state_of(shop, shop.users.of(None), [], NOW, recently_shown=shown)
    answer = recommend(shop, HomeRequest(limit=39), state=state, now=NOW)
    assert (world.item_id(3) in [item.item_id for item in answer.items]) is is_shown


def test_what_is_sold_in_one_region_is_shown_there_and_where_nobody_said(bundle):
    shop = ruled(bundle, columns={"region": ["AT" if n == 3 else None for n in range(world.NUM_ITEMS)]})
    for region, is_shown in (("AT", True), ("DE", False), (None, True)):
        answer = recommend(shop, HomeRequest(limit=39, region=region), now=NOW)
        assert (world.item_id(3) in [item.item_id for item in answer.items]) is is_shown


def test_what_a_region_sells_is_worked_out_once(bundle):
    items = with_columns(bundle.items, region=["AT" if n == 3 else None for n in range(world.NUM_ITEMS)])
    assert items.available_in("AT") is items.available_in("AT")
    assert items.available_in("AT")[3]
    assert not items.available_in("DE")[3]
    # A region nobody sells in is a caller's word: whatever they say, one mask is kept for all of them.
    assert items.available_in("DE") is items.available_in("nowhere")


@EFFORT
@given(
    recent=arrays.arrays(np.float32, world.NUM_ITEMS, elements=st.sampled_from([0, 0.25, 0.5, 0.9, 1, 1.05, 3])),
    allowed=arrays.arrays(np.bool_, world.NUM_ITEMS),
    first=st.integers(1, world.NUM_ITEMS),
)
def test_popular_items_with_boosts_are_those_of_a_look_at_the_whole_catalogue(bundle, recent, allowed, first):
    rng, at = np.random.default_rng(0), int(NOW.timestamp())
    born = [NOW - timedelta(days=float(days)) for days in rng.integers(0, 60, world.NUM_ITEMS)]
    columns = {"created_at": [each.replace(tzinfo=None) for each in born]}
    shop = with_interest(ruled(bundle, columns=columns, freshness_boost=0.5, exposure_boost=0.5), recent)
    popularity = shop.sources.popularity
    rows = popularity.order[allowed[popularity.order]]
    scores = recent[rows] * boosts(shop.items, shop.settings.rules, rows, at=at, exposure=shop.exposure)
    expected = rows[np.argsort(-scores, kind="stable")][:first]
    assert _popular(shop, allowed, first=first, at=at).tolist() == expected.tolist()
