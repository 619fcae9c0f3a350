"""What goes over the wire is what the model says."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.runtime.bundle import open_bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, HomeRequest, ProductRequest
from serving.caller import Caller
from serving.rendered import rendered
from serving.schemas import RecommendationList
from tests import world

USER = pseudonym("u001", DEVELOPMENT_KEY)
NOW = datetime(2026, 3, 2, 9, 30, 0, 120, UTC)


@pytest.mark.parametrize(
    "request_",
    [
        HomeRequest(),
        HomeRequest(user_id=USER, limit=40),
        ProductRequest(item_id=world.item_id(3), user_id=USER),
        BoughtTogetherRequest(item_id=world.item_id(3)),
    ],
    ids=lambda request: f"{request.surface}-{request.user_id is not None}",
)
def test_a_list_is_rendered_as_its_model_is_dumped(bundles, request_):
    bundle = open_bundle(bundles[0])
    caller = Caller("an-id", 'quote " and é', USER, NOW)
    answer = recommend(bundle, request_, now=NOW)
    scores = [1e-7, 0.1 + 0.2, -3.0, 1e22]  # numbers that Python and JSON write otherwise
    items = tuple(item._replace(score=scores[place % 4], propensity=1e-5) for place, item in enumerate(answer.items))
    for told in (answer, replace(answer, items=items, degraded=("ranker", "online_state"))):
        assert rendered(told, bundle, caller) == RecommendationList.of(told, bundle, caller).model_dump_json().encode()
