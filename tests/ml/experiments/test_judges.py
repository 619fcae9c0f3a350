"""What trials are judged by lies before the test week, and nothing of that week is seen."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from ml.contract.errors import DataError
from ml.dataset.training_data import TrainingData, weekly_cuts
from ml.experiments import judges
from ml.experiments.judges import STEPS_OF_WEEK, judge_lists, judge_towers, validation_cuts, within_reach
from ml.experiments.recipe import Recipe
from ml.experiments.space import SearchSpace
from tests import world

WEEK = timedelta(days=7)
QUICK = Recipe().having(
    {
        "retriever.model_type": "retrieval",
        "retriever.embedding_dim": 8,
        "retriever.tower_layers": [8],
        "retriever.history_length": 5,
        "retriever.epochs": 2,
        "retriever.batch_size": 64,
    }
)


def asked(*, by: str, weeks: int) -> SearchSpace:
    among = {"retriever.epochs": {"low": 1, "high": 9}}
    return SearchSpace.model_validate(
        {"name": "asked", "judged_by": by, "metric": "recall@10", "weeks": weeks, "search": among}
    )


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return world.training_data(weeks=8)


def test_the_newest_validation_week_ends_where_the_test_week_begins(data: TrainingData):
    cuts = validation_cuts(data, Recipe().split, weeks=3)
    assert cuts == tuple(weekly_cuts(world.CUT - WEEK, weeks=2))


class Report:
    """A report whose users got 1, 2 and so on, week after week."""

    def __init__(self, value: float) -> None:
        self.per_user = self
        self._value = value

    def of(self, metric: str) -> np.ndarray:
        assert metric == "recall@10"
        return np.array([self._value, np.nan])


def test_lists_are_judged_week_after_week_with_the_ranker_weeks_there_are(data: TrainingData, monkeypatch):
    seen, told = [], []

    def judged(_data: TrainingData, cut, recipe: Recipe) -> Report:
        seen.append((cut, recipe.split.ranker_weeks))
        return Report(float(len(seen)))

    monkeypatch.setattr(judges, "train_and_judge", judged)
    space = asked(by="lists", weeks=4)
    value = judge_lists(data, Recipe(), space, lambda step, mean: told.append((step, mean)))
    assert told == [(0, 1.0), (1, 1.5), (2, 2.0), (3, 2.5)]
    assert value == 2.5
    # Features reach eight weeks back; the oldest week begins five before T, so three are left of the recipe's five.
    assert seen == [(world.CUT - week * WEEK, 3) for week in (1, 2, 3, 4)]


def test_a_snapshot_that_does_not_reach_back_far_enough_says_what_to_do(data: TrainingData):
    with pytest.raises(DataError, match=r"Lower `weeks`, or raise `split\.ranker_weeks`"):
        within_reach(data, Recipe(), oldest=world.CUT - 8 * WEEK)


@pytest.mark.tf
def test_towers_are_judged_after_each_epoch_and_by_nothing_of_the_test_week(data: TrainingData):
    told: list[tuple[int, float]] = []
    space = asked(by="towers", weeks=2)
    value = judge_towers(data, QUICK, space, lambda step, mean: told.append((step, mean)))
    assert [step for step, _ in told] == [0, 1, STEPS_OF_WEEK, STEPS_OF_WEEK + 1]
    assert told[-1][1] == value
    assert value > 0.3, "a quarter of the items are of one's own category"
    blind = replace(data, events=data.events.known_before(world.CUT - WEEK))
    assert judge_towers(blind, QUICK, space, lambda *_: None) == value
