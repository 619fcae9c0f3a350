"""Several goals in one grade."""

import numpy as np
import pytest
from pydantic import ValidationError

from ml.ranking.settings import RankerSettings
from ml.ranking.worth import GRADES, grades, request_weights

LOOKED_AT, BOUGHT_CHEAP, BOUGHT_DEAR = [1, 0, 0], [1, 1, 0.2], [1, 1, 1]
NOTHING = [0, 0, 0]


def graded(*pairs: list[float], **weights: float) -> list[int]:
    return grades(np.array(pairs, np.float32), RankerSettings(**weights)).tolist()


def test_where_people_only_buy_weights_change_nothing():
    only_purchases = ([1, 1, 1], NOTHING)
    assert graded(*only_purchases) == graded(*only_purchases, click_weight=0) == [GRADES, 0]


def test_each_weight_moves_what_it_is_about():
    pairs = (NOTHING, LOOKED_AT, BOUGHT_CHEAP, BOUGHT_DEAR)
    assert graded(*pairs, click_weight=0.25) == [0, round(GRADES * 0.25 / 1.25), GRADES, GRADES]
    assert graded(*pairs, click_weight=0, revenue_weight=1) == [0, 0, round(GRADES * 1.2 / 2), GRADES]
    assert graded(*pairs, click_weight=1, conversion_weight=0) == [0, GRADES, GRADES, GRADES]


def test_what_is_worth_anything_is_worth_more_than_nothing():
    assert graded(NOTHING, LOOKED_AT, click_weight=0.001) == [0, 1]


def test_a_shop_that_wants_nothing_is_refused():
    with pytest.raises(ValidationError, match="must be above 0"):
        RankerSettings(click_weight=0, conversion_weight=0, revenue_weight=0)


def test_a_request_counts_as_much_as_the_best_that_came_of_it():
    looked, bought = 3, GRADES
    weights = request_weights(np.array([0, looked, looked, bought, 0], np.int32), np.array([2, 3], np.int32))
    assert weights.tolist() == pytest.approx([looked / GRADES] * 2 + [1.0] * 3)
