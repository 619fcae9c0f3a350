"""Recipes on the same users of the same weeks: a difference is told only where the interval allows it."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from ml.candidates.assemble import catalogue_at
from ml.contract.errors import RecipeError
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.baselines import Past, standard_baselines
from ml.evaluation.offline import Exam
from ml.evaluation.ranking_metrics import Relevant
from ml.evaluation.report import OURS, EvaluationReport, EvaluationSettings
from ml.evaluation.scoring import EvaluationContext, evaluate
from ml.experiments import compare as comparing
from ml.experiments.compare import Comparison, compare
from ml.experiments.comparison_page import headline, html_page, markdown_page
from ml.experiments.recipe import Recipe
from tests import world

RECIPES = [
    Recipe().having({"name": "popular", "retriever.epochs": 1}),
    Recipe().having({"name": "again", "retriever.epochs": 2}),
    Recipe().having({"name": "own", "retriever.model_type": "retrieval", "retriever.epochs": 3}),
]


def judged_without_training(data: TrainingData, cut: datetime, recipe: Recipe) -> EvaluationReport:
    """One epoch makes popular lists, two the same, three what users bought before."""
    data = data.as_of(cut)
    exam = Exam(data, TimeSplit.at(cut, recipe.split), recipe.sources, recipe.index)
    goals = exam.goals(catalogue_at(data, exam.starts_at))
    past = Past.at(
        exam.split.test.start, data.log, user_rows=goals.user_rows, recommendable=np.ones(world.NUM_ITEMS, np.bool_)
    )
    lists = standard_baselines(past, k=EvaluationSettings().depth)
    chosen = {1: "popular", 2: "popular", 3: "own_history"}[recipe.retriever.epochs]
    context = EvaluationContext("v", past, np.zeros(world.NUM_ITEMS, np.int32), ("c",), cut)
    return evaluate({OURS: lists[chosen]}, Relevant(goals.starts, goals.item_rows), context)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "train_and_judge", judged_without_training)
        return compare(world.training_data(weeks=8), RECIPES, weeks=2, folder=folder)


def test_what_is_better_and_what_is_the_same_is_told_apart(comparison: Comparison):
    first, same, better = comparison.rows
    assert first.of("ndcg@10").verdict == "the first"
    assert same.of("ndcg@10").verdict == "no different"
    assert same.of("ndcg@10").difference.mean == 0.0
    assert better.of("ndcg@10").verdict == "better"
    assert better.of("ndcg@10").ratio.low > 1
    assert better.of("ndcg@10").value.mean == pytest.approx(
        first.of("ndcg@10").value.mean + better.of("ndcg@10").difference.mean
    )


def test_users_of_two_weeks_are_drawn_with_both(comparison: Comparison):
    assert len(comparison.cuts) == 2
    assert comparison.num_values > world.NUM_USERS, "so some are judged in both weeks"


def test_the_page_says_who_wins_and_what_they_differ_in(comparison: Comparison):
    assert headline(comparison).startswith("own, the best of 2, ranks better than popular: NDCG@10 0.")
    for page in (html_page(comparison), markdown_page(comparison)):
        assert "retrieval" in page
        assert "retriever.model_type" in page
        assert "MRR@100" in page
    assert html_page(comparison).count("data:image/svg+xml") == 2, "bars, and ratios to the first"
    assert "2 weeks; the last ends on" in markdown_page(comparison)


def test_what_was_judged_once_is_not_judged_again(comparison: Comparison, folder: Path, monkeypatch):
    def never(*_: object) -> EvaluationReport:
        raise AssertionError

    monkeypatch.setattr(comparing, "train_and_judge", never)
    assert compare(world.training_data(weeks=8), RECIPES, weeks=2, folder=folder) == comparison


def test_one_recipe_alone_is_judged_on_rolling_weeks(comparison: Comparison):
    alone = comparison.model_copy(update={"rows": comparison.rows[:1]})
    assert headline(alone).startswith("NDCG@10 0.")
    assert "popular" in html_page(alone)
    assert html_page(alone).count("data:image/svg+xml") == 1, "nothing to hold against it"


def test_errors_of_heads_are_named_in_words(comparison: Comparison):
    first, *others = comparison.rows
    rated = first.model_copy(update={"heads": {"value.test.rmse": 1.5}})
    page = markdown_page(comparison.model_copy(update={"rows": (rated, *others)}))
    assert "| Head “value”, test days: RMSE | 1.500 | – | – |" in page


def test_a_stored_comparison_is_the_same(comparison: Comparison, tmp_path: Path):
    comparison.save(tmp_path)
    assert Comparison.load(tmp_path) == comparison


@pytest.mark.parametrize(
    ("recipes", "told"),
    [
        ([], "A comparison needs recipes"),
        ([RECIPES[0], RECIPES[0]], "each with a name of its own"),
        ([RECIPES[0], RECIPES[1].having({"split.validation_days": 14})], "judged on the same days"),
    ],
)
def test_what_cannot_be_compared_is_refused(recipes: list[Recipe], told: str, tmp_path: Path):
    with pytest.raises(RecipeError, match=told):
        compare(world.training_data(), recipes, weeks=1, folder=tmp_path)
