"""The stages of an answer are named once each, in order, and naming them changes nothing."""

from typing import get_args

import pytest

from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, RankRequest
from ml.runtime.stages import Stage
from tests import world

A_USER, AN_ITEM = world.user_id(1), world.item_id(3)
ALL = list(get_args(Stage))
OF_ITEMS = ["filters", "candidates", "ranking", "placement", "answer"]
OF_A_STRANGER = ["filters", "ranking", "placement", "answer"]


@pytest.mark.parametrize(
    ("request_of", "expected"),
    [
        (HomeRequest(user_id=A_USER), ALL),
        (RankRequest(user_id=A_USER, item_ids=(AN_ITEM,)), ALL),
        (HomeRequest(), OF_A_STRANGER),
        (ProductRequest(item_id=AN_ITEM), OF_ITEMS),
        (BoughtTogetherRequest(item_id=AN_ITEM), OF_ITEMS),
        (CartRequest(item_ids=(AN_ITEM,)), OF_ITEMS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_stage_is_told_once_in_order_and_changes_nothing(bundle, request_of, expected):
    told = []
    answer = recommend(bundle, request_of, now=world.CUT, over=told.append)
    assert told == expected
    assert answer == recommend(bundle, request_of, now=world.CUT)


def test_an_answer_says_how_many_items_each_rule_kept_out(bundle):
    excluded = frozenset({world.item_id(3), world.item_id(4)})
    answer = recommend(bundle, ProductRequest(item_id=world.item_id(5), exclude=excluded), now=world.CUT)
    assert answer.kept_out == {"about": 1, "excluded": len(excluded)}
