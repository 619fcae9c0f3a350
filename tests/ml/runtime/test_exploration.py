"""What is left to chance happens as often as the propensities say."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from math import sqrt

import numpy as np
import pytest

from ml.runtime.exploration import ExplorationSettings, explored
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings
from tests import world

NOW = world.CUT + timedelta(hours=10)
DRAWS = 20_000


def fits(*rows: str) -> np.ndarray:
    return np.array([[mark == "x" for mark in row] for row in rows])


def test_every_place_holds_each_item_as_often_as_its_propensity_says():
    allowed = fits("xxx", "x..", "...", ".xx")
    settings = ExplorationSettings(share=0.5, protected=0)
    held, said = Counter(), {}
    for seed in range(DRAWS):
        chance = explored(allowed, settings=settings, seed=seed)
        for place, propensity in enumerate(chance.propensities):
            item = chance.drawn if place == chance.place else "own"
            held[place, item] += 1
            said[place, item] = propensity
    # three of the four places can be taken: each with 0.5 / 3, its items alike
    third = 0.5 / 3
    own = {(0, "own"): 1 - third, (1, "own"): 1 - third, (2, "own"): 1.0, (3, "own"): 1 - third}
    drawn = {
        (0, 0): third / 3,
        (0, 1): third / 3,
        (0, 2): third / 3,
        (1, 0): third,
        (3, 1): third / 2,
        (3, 2): third / 2,
    }
    assert said == pytest.approx(own | drawn)
    for key, propensity in said.items():
        deviation = sqrt(propensity * (1 - propensity) / DRAWS)
        assert held[key] / DRAWS == pytest.approx(propensity, abs=5 * deviation + 1e-12), key


def test_the_probabilities_of_a_place_sum_to_one():
    allowed, share = fits("xx.", "xxx"), 0.3
    chances = [
        explored(allowed, settings=ExplorationSettings(share=share, protected=0), seed=seed) for seed in range(400)
    ]
    for place in range(2):
        own = {chance.propensities[place] for chance in chances if chance.place != place}
        taken = {(chance.drawn, chance.propensities[place]) for chance in chances if chance.place == place}
        assert len(own) == 1
        assert own.pop() + sum(propensity for _, propensity in taken) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("share", "seed", "allowed"),
    [
        (0.0, 1, fits("xx", "xx")),
        (0.5, None, fits("xx", "xx")),
        (0.5, 1, fits("..", "..")),
        (0.5, 1, np.ones((2, 0), bool)),
    ],
)
def test_without_share_seed_or_anything_to_draw_all_is_certain(share, seed, allowed):
    chance = explored(allowed, settings=ExplorationSettings(share=share, protected=0), seed=seed)
    assert (chance.place, chance.propensities) == (None, (1.0, 1.0))


def exploring(bundle, *, share: float = 0.5, **rules):
    chance = ExplorationSettings(share=share, protected=3, pool=6)
    return replace(bundle, settings=RequestSettings(rules=Rules(**rules), exploration=chance))


def test_lists_hold_items_as_often_as_they_say(bundle):
    curious = exploring(bundle)
    request, draws = HomeRequest(user_id=world.user_id(2), limit=8), 3_000
    held, said = Counter(), {}
    for seed in range(draws):
        for item in recommend(curious, request, now=NOW, seed=seed).items:
            held[item.position, item.item_id] += 1
            said[item.position, item.item_id] = item.propensity
    assert all(propensity == 1 for (position, _), propensity in said.items() if position <= 3)
    assert len({item for _, item in said}) == 8 + 6
    for key, propensity in said.items():
        deviation = sqrt(propensity * (1 - propensity) / draws)
        assert held[key] / draws == pytest.approx(propensity, abs=5 * deviation + 1e-12), key


def test_the_same_seed_gives_the_same_list_and_another_one_another(bundle):
    curious, request = exploring(bundle), HomeRequest(user_id=world.user_id(2), limit=8)
    lists = [recommend(curious, request, now=NOW, seed=seed) for seed in range(30)]
    assert lists == [recommend(curious, request, now=NOW, seed=seed) for seed in range(30)]
    assert len({tuple(item.item_id for item in answer.items) for answer in lists}) > 5


def test_it_is_off_by_default(bundle):
    request = HomeRequest(user_id=world.user_id(2), limit=8)
    assert RequestSettings().exploration.share == 0
    assert recommend(bundle, request, now=NOW, seed=1) == recommend(bundle, request, now=NOW)


def test_chance_breaks_no_limit_of_the_top_ten(bundle):
    curious = exploring(bundle, max_per_category_in_top_10=3)
    taken = 0
    for seed in range(300):
        answer = recommend(curious, HomeRequest(user_id=world.user_id(2), limit=12), now=NOW, seed=seed)
        categories = Counter(world.category_of(int(item.item_id[1:])) for item in answer.items[:10])
        assert max(categories.values()) <= 3
        taken += any(item.propensity < 0.2 for item in answer.items[:10])
    assert taken > 20
