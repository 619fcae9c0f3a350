"""Whose candidates are learned from, and what came of them."""

import numpy as np
import pytest

from ml.dataset.goals import Goals
from ml.dataset.outcomes import OUTCOMES, Outcomes
from ml.features.vocabulary import Vocabulary
from ml.ranking.examples import RankingExamples, ranking_examples
from ml.ranking.settings import RankerSettings
from ml.runtime.bundle import Bundle
from ml.runtime.enrich import FEATURES
from ml.runtime.recommend import ranking_inputs
from tests import world

CUT = int(world.CUT.timestamp())
USERS = Vocabulary.of([*(world.user_id(user) for user in range(world.NUM_USERS)), "stranger"])
STRANGER = world.NUM_USERS
LOOKED_AT, BOUGHT = [1, 0, 0], [1, 1, 1]


def outcomes(*pairs: tuple[int, int, list[float]]) -> Outcomes:
    """Of (user, item row, what came of it), one pair of each user, by ascending user."""
    users, items, values = zip(*pairs, strict=True)
    goals = Goals(np.array(users, np.int32), np.arange(len(users) + 1), np.array(items, np.int32))
    return Outcomes(goals, np.array(values, np.float32))


def examples(bundle: Bundle, came: Outcomes, **settings: float) -> RankingExamples:
    return ranking_examples(bundle, came, user_ids=USERS, cut=CUT, settings=RankerSettings(**settings))


def a_candidate(bundle: Bundle, user: int) -> int:
    """Row of an item that is among a user's candidates."""
    known = bundle.users.of(world.user_id(user))
    return int(ranking_inputs(bundle, known, known.history, at=CUT)[0].rows[0])


def test_an_example_holds_what_the_request_saw_and_what_came_of_it(bundle):
    found = examples(bundle, outcomes((3, a_candidate(bundle, 3), BOUGHT)), negatives_per_user=10)
    assert found.group_sizes.tolist() == [1 + 10]
    assert found.features.shape == (11, len(FEATURES))
    assert found.outcomes.shape == (11, len(OUTCOMES))
    assert found.outcomes.sum(axis=0).tolist() == BOUGHT


def test_buyers_are_drawn_before_those_who_only_looked(bundle):
    lookers = [(user, a_candidate(bundle, user), LOOKED_AT) for user in range(20)]
    buyers = [(user, a_candidate(bundle, user), BOUGHT) for user in range(20, 30)]
    found = examples(bundle, outcomes(*lookers, *buyers), max_users_per_week=10)
    assert found.outcomes.sum(axis=0).tolist() == [10, 10, 10]


def test_a_stranger_takes_nobodys_place(bundle):
    came = outcomes(*((user, a_candidate(bundle, user), LOOKED_AT) for user in range(10)), (STRANGER, 0, BOUGHT))
    assert len(examples(bundle, came, max_users_per_week=10).group_sizes) == 10


def test_where_looks_are_worth_nothing_lookers_are_left_out(bundle):
    came = outcomes((0, a_candidate(bundle, 0), LOOKED_AT), (1, a_candidate(bundle, 1), BOUGHT))
    assert len(examples(bundle, came).group_sizes) == 2
    assert len(examples(bundle, came, click_weight=0).group_sizes) == 1


def test_what_nobody_proposed_teaches_nothing(bundle):
    out_of_stock = world.NUM_ITEMS - 1
    found = examples(bundle, outcomes((0, out_of_stock, BOUGHT)))
    assert (len(found.group_sizes), len(found.features)) == (0, 0)


@pytest.mark.parametrize("users", [50, 60])
def test_many_users_keep_fewer_negatives_each(bundle, users):
    came = outcomes(*((user, a_candidate(bundle, user), BOUGHT) for user in range(users)))
    found = examples(bundle, came, rows_per_week=1_000)
    assert (found.group_sizes == 1 + 1_000 // users).all()
