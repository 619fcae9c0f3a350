"""A study goes on where a killed process left it, stops what is hopeless and keeps the best recipe."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml.contract.errors import RecipeError
from ml.dataset.training_data import TrainingData
from ml.experiments.judges import Tell
from ml.experiments.recipe import Recipe
from ml.experiments.search import SearchResult, search, study_name
from ml.experiments.space import SearchSpace
from tests import world

SPACE = SearchSpace.model_validate(
    {
        "name": "hills",
        "trials": 14,
        "search": {
            "ranker.l2": {"low": 1.0, "high": 9.0},
            "ranker.num_leaves": {"low": 7, "high": 63, "log": True},
            "retriever.tower_layers": {"choices": [[], [128], [64, 64]]},
        },
    }
)

BASE = Recipe().having({"ranker.l2": 5.0, "ranker.num_leaves": 31, "retriever.tower_layers": [128]})


def hill(_data: TrainingData, recipe: Recipe, _space: SearchSpace, tell: Tell) -> float:
    """Best at l2 = 7; known better and better over four steps."""
    value = 1 - abs(recipe.ranker.l2 - 7) / 8 - abs(recipe.ranker.num_leaves - 20) / 200
    for step in range(4):
        tell(step, value * (step + 1) / 4)
    return value


def killed_at_the_fifth(_data: TrainingData, recipe: Recipe, space: SearchSpace, tell: Tell) -> float:
    if len(list(Path(os.environ["JUDGED"]).iterdir())) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    Path(os.environ["JUDGED"], f"{recipe.ranker.l2}").touch()
    return hill(_data, recipe, space, tell)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return world.training_data()


@pytest.fixture(scope="module")
def found(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(data, SPACE, BASE, folder=tmp_path_factory.mktemp("study"), judge=hill)


def test_the_recipe_it_starts_from_is_the_first_trial_and_the_best_is_no_worse(found: SearchResult):
    assert found.trials[0].values == SPACE.around(BASE)
    assert found.trials[0].value == pytest.approx(1 - 2 / 8 - 11 / 200)
    assert found.best.value > found.trials[0].value
    assert len(found.trials) == SPACE.trials


def test_what_is_below_the_median_of_the_others_goes_no_further(found: SearchResult):
    stopped = [trial for trial in found.trials if trial.state == "pruned"]
    assert stopped
    for trial in stopped:
        assert trial.number >= SPACE.pruning.after_trials
        assert len(trial.steps) < 4
        assert trial.value < found.best.value


def test_the_best_recipe_loads_and_differs_only_where_it_was_searched(found: SearchResult, tmp_path: Path):
    base = BASE.having({"retriever.epochs": 9})
    result = SearchResult(SPACE, base, found.trials)
    result.save(tmp_path)
    best = Recipe.read(tmp_path / "hills.yaml")
    different = {name for name, value in best.values.items() if value != base.values[name]}
    assert different <= {*SPACE.search, "name"}
    assert {name: best.values[name] for name in SPACE.search} == found.best.values
    assert best.retriever.epochs == 9


def test_a_process_killed_in_a_trial_loses_that_trial_alone(found: SearchResult, data: TrainingData, tmp_path: Path):
    judged = tmp_path / "judged"
    judged.mkdir()
    script = (
        "from pathlib import Path; from tests.ml.experiments.test_search import *;"
        f"search(world.training_data(), SPACE, BASE, folder=Path({str(tmp_path / 'study')!r}), judge=killed_at_the_fifth)"
    )
    ended = subprocess.run([sys.executable, "-c", script], env={**os.environ, "JUDGED": str(judged)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    resumed = search(data, SPACE, BASE, folder=tmp_path / "study", judge=hill)
    assert [trial.values for trial in resumed.trials] == [trial.values for trial in found.trials]
    assert [trial.value for trial in resumed.trials] == [trial.value for trial in found.trials]
    assert resumed.trials[3].number == 3
    assert resumed.trials[4].number == 5, "the fourth was lost with its process"


def test_more_trials_go_on_from_those_there_are(data: TrainingData, found: SearchResult, tmp_path: Path):
    heard: list[int] = []
    few = SPACE.model_copy(update={"trials": 3})
    for space in (few, SPACE.model_copy(update={"trials": 5})):
        heard.clear()
        result = search(data, space, BASE, folder=tmp_path, judge=hill, on_trial=lambda t: heard.append(t.number))
        assert heard == list(range(space.trials)), "those of before are told again"
    assert [trial.values for trial in result.trials] == [trial.values for trial in found.trials[:5]]


def test_values_that_fit_alone_and_not_together_are_a_failed_trial(data: TrainingData, tmp_path: Path):
    space = SearchSpace.model_validate(
        {
            "name": "weights",
            "trials": 12,
            "search": {
                "retriever.retrieval_weight": {"choices": [1.0, 0.0]},
                "retriever.rating_weight": {"choices": [0.1, 0.0]},
                "retriever.conversion_weight": {"choices": [0.1, 0.0]},
            },
        }
    )
    result = search(data, space, BASE, folder=tmp_path, judge=lambda *_: 0.5)
    refused = [trial for trial in result.trials if trial.state == "failed"]
    assert len(result.trials) == 12
    assert refused
    assert all("at least one loss weight above 0" in str(trial.reason) for trial in refused)
    assert result.best.number == 0, "of equals the first"


def test_without_a_complete_trial_there_is_no_best():
    with pytest.raises(RecipeError, match=r"needs one complete trial\. Received: 0"):
        _ = SearchResult(SPACE, BASE, ()).best


def test_other_data_or_another_question_is_another_study(data: TrainingData):
    name = study_name(data, SPACE, BASE)
    assert name == study_name(data, SPACE.model_copy(update={"trials": 99}), BASE)
    assert name != study_name(data, SPACE.model_copy(update={"metric": "map@10"}), BASE)
    assert name != study_name(data, SPACE, BASE.having({"ranker.patience": 9}))
    assert name != study_name(world.training_data(seed=1), SPACE, BASE)
