"""When time runs short parts of the work are left out, in order; the answer names them and can be made again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ml.evaluation.parity import LoggedList, parity
from ml.runtime.answer import Inputs
from ml.runtime.candidates import SOURCES, CandidateSettings
from ml.runtime.deadline import Deadline
from ml.runtime.explain import explain_shown
from ml.runtime.recommend import recommend, worked_out
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, RankRequest
from ml.runtime.settings import RequestSettings
from ml.runtime.state import OnlineState
from ml.runtime.trace import RequestTrace, replayed
from tests import world
from tests.ml.runtime.hurry import hurried

NOW = world.CUT + timedelta(hours=10)
USER, ITEM = world.user_id(1), world.item_id(2)
OF_A_USER = [HomeRequest(user_id=USER, limit=20), RankRequest(user_id=USER, item_ids=(ITEM, world.item_id(8)))]
OF_ITEMS = [
    ProductRequest(item_id=ITEM, limit=20),
    BoughtTogetherRequest(item_id=ITEM, limit=20),
    CartRequest(item_ids=(ITEM, world.item_id(5)), limit=20),
]
LATE = {
    "before the candidates": (0.85, 0.85),
    "before them, more after": (0.85, 0.95),
    "after them": (0.2, 0.85),
    "after them, very": (0.2, 3.0),
    "too": (1.0,),
}


@pytest.fixture
def shop(bundle):
    """The small world has forty items: with the usual numbers a quarter of the proposals would still be all of them."""
    numbers = CandidateSettings(**dict.fromkeys(SOURCES, 4))
    return replace(bundle, settings=RequestSettings(candidates=numbers))


def degraded(bundle, request, *spent: float) -> tuple[str, ...]:
    return recommend(bundle, request, now=NOW, shedding=hurried(*spent)).degraded


@pytest.mark.parametrize(
    ("spent", "omitted"),
    [
        ((0.0, 0.79), ()),
        ((0.79, 0.8), ("ranker",)),
        ((0.8, 0.8), ("some_candidates",)),
        ((0.8, 0.89), ("some_candidates",)),
        ((0.8, 0.9), ("some_candidates", "ranker")),
        ((0.99, 0.99), ("some_candidates", "ranker")),
        ((0.1, 7.0), ("ranker",)),
        ((1.0,), ("candidates", "ranker")),
        ((7.0,), ("candidates", "ranker")),
    ],
)
@pytest.mark.parametrize("request_of", OF_A_USER, ids=lambda request: request.surface)
def test_a_users_list_leaves_out_candidates_then_the_ranker_then_everything(shop, request_of, spent, omitted):
    assert degraded(shop, request_of, *spent) == omitted


@pytest.mark.parametrize(("spent", "omitted"), [(0.79, ()), (0.8, ("some_candidates",)), (1.0, ("candidates",))])
@pytest.mark.parametrize("request_of", OF_ITEMS, ids=lambda request: request.surface)
def test_a_list_about_items_leaves_out_candidates_then_all_of_them(shop, request_of, spent, omitted):
    assert degraded(shop, request_of, spent) == omitted


def test_nothing_is_left_out_of_a_strangers_list(shop):
    on_time = recommend(shop, HomeRequest(limit=10), now=NOW)
    assert recommend(shop, HomeRequest(limit=10), now=NOW, shedding=hurried(5.0)) == on_time
    assert on_time.degraded == ()


def test_some_candidates_are_a_share_of_what_each_source_proposes():
    numbers = CandidateSettings(two_tower=200, ease=0, item_knn=1, popular=5, late_share=0.25)
    late = numbers.when_late()
    assert (late.two_tower, late.ease, late.item_knn, late.popular) == (200 / 4, 0, 1, 2)
    assert all(getattr(late, source) <= getattr(numbers, source) for source in SOURCES)
    assert late.newest_items == numbers.newest_items


def test_with_fewer_candidates_the_ranker_has_less_to_do_and_still_the_last_word(shop):
    inputs = Inputs(OF_A_USER[0], OnlineState.of_record(shop, shop.users.of(USER)), NOW, None)
    late = worked_out(shop, inputs, shedding=hurried(0.85))
    kept = set(late.scored.candidates.rows.tolist())
    assert kept < set(worked_out(shop, inputs).scored.candidates.rows.tolist())
    assert late.scored.features is not None
    assert len(late.shown) == 20


def test_too_late_the_list_is_the_popular_one(shop):
    late = recommend(shop, OF_A_USER[0], now=NOW, shedding=hurried(2.0))
    stranger = recommend(shop, HomeRequest(limit=20), now=NOW)
    assert [item.item_id for item in late.items] == [item.item_id for item in stranger.items]
    assert not late.personalised


@pytest.mark.parametrize("spent", LATE.values(), ids=LATE)
@pytest.mark.parametrize("request_of", [*OF_A_USER, *OF_ITEMS], ids=lambda request: request.surface)
def test_what_was_left_out_is_left_out_again_when_the_list_is_made_again(shop, request_of, spent):
    answer = recommend(shop, request_of, now=NOW, seed=5, shedding=hurried(*spent))
    trace = RequestTrace.from_json(RequestTrace.of(answer, shop).to_json())
    assert replayed(shop, trace) == answer
    assert [why.item_id for why in explain_shown(shop, trace)] == [item.item_id for item in answer.items]
    assert parity({shop.version: shop}.get, [_logged(trace)]).holds


def test_an_explanation_of_an_unranked_list_speaks_of_no_ranker(shop):
    answer = recommend(shop, OF_A_USER[0], now=NOW, shedding=hurried(0.2, 0.85))
    why = explain_shown(shop, RequestTrace.of(answer, shop))
    assert answer.degraded == ("ranker",)
    assert all(item.ranker is None and item.sources for item in why)


def test_a_trace_that_forgot_what_was_left_out_is_found_out(shop):
    answer = recommend(shop, OF_A_USER[0], now=NOW, shedding=hurried(0.2, 0.85))
    forgetful = RequestTrace.of(answer, shop).model_copy(update={"degraded": ()})
    assert parity({shop.version: shop}.get, [_logged(forgetful)]).num_different == 1


def test_what_is_left_of_a_deadline_is_never_below_nothing():
    now = [10.0]
    deadline = Deadline(0.1, clock=lambda: now[0], began_at=10.0)
    assert deadline.left() == pytest.approx(0.1)
    now[0] = 10.075
    assert deadline.left() == pytest.approx(0.025)
    now[0] = 99.0
    assert deadline.left() == 0.0


def _logged(trace):
    return LoggedList("r", trace.bundle_version, trace.to_json())
