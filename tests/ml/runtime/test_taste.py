"""Lists about items for somebody who is known: still about the item, and rather their own."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.events import EventType
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.explain import explain_shown
from ml.runtime.interest import Interest
from ml.runtime.rank import together_first
from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, ProductRequest
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event, state_of
from ml.runtime.taste import TasteSettings, personal_factors
from ml.runtime.trace import RequestTrace
from tests import world
from tests.ml.runtime.shops import EFFORT

NOW = world.CUT + timedelta(hours=10)
OWN = TasteSettings().own
REQUESTS = [
    ProductRequest(item_id=world.item_id(2), limit=20),
    CartRequest(item_ids=(world.item_id(2), world.item_id(6)), limit=20),
    BoughtTogetherRequest(item_id=world.item_id(2), limit=20),
]
SURFACES = pytest.mark.parametrize("request_", REQUESTS, ids=[request.surface for request in REQUESTS])


def with_own(bundle, own: float):
    return replace(bundle, settings=RequestSettings(taste=TasteSettings(own=own)))


def bought(*items: int) -> list[Event]:
    return [Event(world.item_id(item), EventType.PURCHASE, NOW - timedelta(minutes=9)) for item in items]


def asked(bundle, request, events):
    return recommend(bundle, request, state=state_of(bundle, bundle.users.of(None), events, NOW), now=NOW)


def test_relatedness_is_multiplied_by_the_interest_shown_before():
    interest = Interest(np.array([1, 4], np.int32), np.array([0.5, 1.0], np.float32))
    factors = personal_factors(np.array([0, 1, 4, 9], np.int32), interest, TasteSettings(own=3))
    assert factors == pytest.approx([1, 1 + 3 * 0.5, 1 + 3 * 1.0, 1])


@SURFACES
def test_what_this_visitor_bought_before_rises_among_what_is_related(bundle, request_):
    plain = asked(bundle, request_, [])
    item = plain.items[4]
    known = asked(bundle, request_, bought(int(item.item_id[1:])))
    assert next(each.position for each in known.items if each.item_id == item.item_id) < item.position
    assert (plain.personalised, known.personalised) == (False, True)


@SURFACES
def test_what_is_not_related_stays_out_however_well_it_is_liked(bundle, request_):
    plain = {item.item_id: item.score for item in asked(bundle, request_, []).items}
    events = bought(*range(world.NUM_ITEMS))
    known = {item.item_id: item.score for item in asked(bundle, request_, events).items}
    unrelated = [item for item, score in plain.items() if score <= 0]
    assert all(known.get(item, 0.0) <= 0 for item in unrelated)


@SURFACES
def test_without_weight_or_history_the_list_is_everybodys(bundle, request_):
    everybodys = asked(bundle, request_, [])
    assert [item.score for item in asked(with_own(bundle, 0), request_, bought(4, 10)).items] == [
        item.score for item in everybodys.items
    ]
    of_user = replace(request_, user_id="nobody we know")
    assert [item.item_id for item in recommend(bundle, of_user, now=NOW).items] == [
        item.item_id for item in everybodys.items
    ]


def test_without_online_state_the_bundles_own_record_of_a_user_counts(bundle):
    request = ProductRequest(item_id=world.item_id(2), user_id=world.user_id(2))
    answer = recommend(bundle, request, now=NOW)
    assert answer.personalised
    assert answer.degraded == ()


@EFFORT
@given(
    together=st.lists(st.sampled_from([0.0, 0.0, 0.2, 0.9]), min_size=1, max_size=8),
    taste=st.lists(st.floats(1, 1 + 20), min_size=8, max_size=8),
    near=st.lists(st.floats(0, 1), min_size=8, max_size=8),
)
def test_whatever_the_taste_what_lay_in_one_basket_stands_before_what_did_not(together, taste, near):
    scores = np.zeros((len(together), len(SOURCES)), np.float32)
    scores[:, SOURCES.index("bought_together")] = together
    scores[:, SOURCES.index("two_tower")] = near[: len(together)]
    scores[:, SOURCES.index("ease")] = near[: len(together)]
    found = Candidates(np.arange(len(together), dtype=np.int32), scores, scores > 0)
    scored = together_first(found, np.array(taste[: len(together)], np.float32))
    lay = np.array(together) > 0
    assert lay.all() or not lay.any() or scored[lay].min() > scored[~lay].max()


@SURFACES
def test_an_explanation_tells_taste_apart_from_relatedness(bundle, request_):
    plain = asked(bundle, request_, [])
    item = plain.items[3]
    answer = asked(bundle, request_, bought(int(item.item_id[1:])))
    [why] = [why for why in explain_shown(bundle, RequestTrace.of(answer, bundle)) if why.item_id == item.item_id]
    strength = 1 - np.exp(-1.0)  # one fresh purchase: weight 5 over 5
    assert why.taste == pytest.approx(1 + OWN * strength, abs=1e-3)
    if request_.surface != "bought_together":
        assert why.score == pytest.approx(item.score * why.taste, rel=1e-3)
