"""The request path in a world whose right answers are known."""

import dataclasses
from datetime import datetime, timedelta

import numpy as np
import pytest

from ml.contract.errors import ContractError, UnknownItemError
from ml.contract.events import EventType
from ml.runtime.candidates import SOURCES, CandidateSettings
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, RankRequest
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event, state_of
from tests import world

NOW = world.CUT + timedelta(hours=10)
SOLD_OUT = world.item_id(world.NUM_ITEMS - 1)


def ids(answer) -> list[str]:
    return [item.item_id for item in answer.items]


def category(item_id: str) -> int:
    return world.category_of(int(item_id[1:]))


@pytest.mark.parametrize("user", range(8))
def test_a_known_user_gets_items_of_their_taste_first(bundle, user):
    answer = recommend(bundle, HomeRequest(user_id=world.user_id(user), limit=5), now=NOW)
    assert answer.personalised
    assert {category(item) for item in ids(answer)} == {world.taste_of(user)}


def test_a_stranger_gets_the_popular_list_marked_as_such(bundle):
    answer = recommend(bundle, HomeRequest(user_id="nobody", limit=10), now=NOW)
    assert not answer.personalised
    assert {item.source for item in answer.items} == {"popular"}
    popularity = bundle.sources.popularity.recent[[item.item_row for item in answer.items]]
    assert (np.diff(popularity) <= 0).all()


@pytest.mark.parametrize("limit", [1, 12, 39])
@pytest.mark.parametrize(
    "request_of",
    [
        lambda limit: HomeRequest(user_id=world.user_id(1), limit=limit),
        lambda limit: HomeRequest(limit=limit),
        lambda limit: ProductRequest(item_id=world.item_id(0), limit=limit - 1 or 1),
    ],
)
def test_a_list_is_filled_with_distinct_available_items(bundle, limit, request_of):
    asked = request_of(limit)
    answer = recommend(bundle, asked, now=NOW)
    assert len(set(ids(answer))) == len(answer.items) == asked.limit
    assert SOLD_OUT not in ids(answer)
    assert [item.position for item in answer.items] == list(range(1, asked.limit + 1))


def test_excluded_items_never_return(bundle):
    request = HomeRequest(user_id=world.user_id(1), limit=10)
    banned = frozenset(ids(recommend(bundle, request, now=NOW)))
    again = recommend(bundle, dataclasses.replace(request, exclude=banned), now=NOW)
    assert not banned & set(ids(again))
    assert len(again.items) == 10


def test_a_product_page_shows_its_kind_and_never_itself(bundle):
    answer = recommend(bundle, ProductRequest(item_id=world.item_id(2), limit=5), now=NOW)
    assert world.item_id(2) not in ids(answer)
    assert {category(item) for item in ids(answer)} == {2}


def test_an_item_outside_the_catalogue_is_refused_by_name(bundle):
    with pytest.raises(UnknownItemError, match="Received: 'nothing'"):
        recommend(bundle, ProductRequest(item_id="nothing"), now=NOW)


def test_what_a_stranger_just_did_makes_the_list_personal(bundle):
    event = Event(world.item_id(3), EventType.VIEW, NOW - timedelta(minutes=1))
    state = state_of(bundle, bundle.users.of(None), [event], NOW)
    answer = recommend(bundle, HomeRequest(limit=4), state=state, now=NOW)
    assert answer.personalised
    assert category(ids(answer)[0]) == 3


def test_the_order_follows_the_scores_and_is_the_same_every_time(bundle):
    request = HomeRequest(user_id=world.user_id(5), limit=20)
    answer = recommend(bundle, request, now=NOW)
    proposed = [item.score for item in answer.items if item.source != "popular" or item.score]
    assert proposed == sorted(proposed, reverse=True)
    assert answer == recommend(bundle, request, now=NOW)


def test_without_a_ranker_the_answer_says_so(bundle):
    unranked = dataclasses.replace(bundle, ranker=None)
    answer = recommend(unranked, HomeRequest(user_id=world.user_id(0), limit=5), now=NOW)
    assert answer.degraded == ("ranker",)
    assert {category(item) for item in ids(answer)} == {0}


def test_an_instant_without_a_time_zone_is_refused(bundle):
    with pytest.raises(ContractError, match="must carry a time zone"):
        recommend(bundle, HomeRequest(), now=datetime(2026, 3, 1))


@pytest.mark.parametrize("limit", [0, 101, -1])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(ContractError, match=f"between 1 and 100. Received: {limit}"):
        HomeRequest(limit=limit)


def with_baskets(bundle, partners: dict[int, list[tuple[int, float]]]):
    """The same bundle, where some items lay in baskets with others."""
    links = [
        (bundle.items.row(world.item_id(item)), bundle.items.row(world.item_id(other)), weight)
        for item, others in partners.items()
        for other, weight in others
    ]
    items, neighbours, weights = (np.array(column) for column in zip(*sorted(links, key=lambda it: it[0]), strict=True))
    table = NeighbourTable.of_pairs(items, neighbours, weights, num_items=len(bundle.items))
    neighbours = {**bundle.sources.neighbours, "bought_together": table}
    sources = dataclasses.replace(bundle.sources, neighbours=neighbours)
    return dataclasses.replace(bundle, sources=sources)


def test_what_lay_in_one_basket_comes_before_what_is_alike(bundle):
    shop = with_baskets(bundle, {2: [(9, 0.5), (3, 0.4), (16, 0.001)]})
    answer = recommend(shop, BoughtTogetherRequest(item_id=world.item_id(2), limit=6), now=NOW)
    assert ids(answer)[:3] == [world.item_id(other) for other in (9, 3, 16)]
    assert [item.score for item in answer.items[:3]] == pytest.approx([1 + share for share in (1.0, 0.8, 0.002)])
    assert {category(item) for item in ids(answer)[3:]} == {2}
    assert all(item.score < 1 for item in answer.items[3:])


def test_a_cart_adds_up_what_goes_with_each_of_its_items(bundle):
    shop = with_baskets(bundle, {2: [(9, 0.5), (3, 0.4)], 5: [(3, 0.4)]})
    answer = recommend(shop, CartRequest(item_ids=(world.item_id(2), world.item_id(5)), limit=40), now=NOW)
    shares = {item.item_id: item.sources.get("bought_together") for item in answer.items}
    assert (shares[world.item_id(3)], shares[world.item_id(9)]) == (1.0, pytest.approx(0.5 / 0.8))


def test_my_list_is_ordered_as_the_home_page_would_be(bundle):
    home = recommend(bundle, HomeRequest(user_id=world.user_id(1), limit=20), now=NOW)
    mine = recommend(bundle, RankRequest(item_ids=tuple(sorted(ids(home))), user_id=world.user_id(1)), now=NOW)
    assert [(item.item_id, item.score) for item in mine.items] == [(item.item_id, item.score) for item in home.items]


def test_an_item_only_the_caller_named_is_ranked_too_and_says_so(bundle):
    few = CandidateSettings(**dict.fromkeys(SOURCES, 0) | {"two_tower": 2, "popular": 1})
    shop = dataclasses.replace(bundle, settings=RequestSettings(candidates=few))
    everything = tuple(world.item_id(item) for item in range(world.NUM_ITEMS))
    answer = recommend(shop, RankRequest(item_ids=everything, user_id=world.user_id(1)), now=NOW)
    assert len(answer.items) == world.NUM_ITEMS - 1
    assert {item.source for item in answer.items} >= {"two_tower", "request"}
    assert answer.removed == {SOLD_OUT: ("out_of_stock",)}


@pytest.mark.parametrize("kind", [CartRequest, RankRequest])
def test_a_request_about_no_items_is_refused(kind):
    with pytest.raises(ContractError, match=r"`item_ids` must name at least one item\. Received: none"):
        kind(item_ids=())


def test_no_request_may_name_more_items_than_can_be_answered():
    too_many = frozenset(map(str, range(1_001)))
    with pytest.raises(ContractError, match=r"`exclude` may name at most 1000 items\. Received: 1001"):
        HomeRequest(exclude=too_many)
