"""Searches and comparisons as assets: what was tried is in MLflow, the best recipe is a file, the table is a page."""

from pathlib import Path

import dagster as dg
import pytest

from ml.dataset.training_data import TrainingData
from ml.experiments import compare as comparing
from ml.experiments.judges import JUDGES
from ml.experiments.recipe import Recipe
from ml.experiments.trial_log import EXPERIMENT as TRIALS
from orchestration.assets.experiments import best_recipe, experiment_comparison
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from orchestration.resources.studies import StudyFolder
from tests import world
from tests.ml.experiments.test_compare import RECIPES, judged_without_training
from tests.ml.experiments.test_search import hill

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SPACE = """
weeks: 1
trials: 3
pruning: {after_trials: 1, after_steps: 0}
search:
  ranker.l2: {low: 1.0, high: 9.0}
"""


@dg.asset
def training_examples() -> TrainingData:
    return world.training_data(weeks=8)


def run(asset: dg.AssetsDefinition, home: Path, config: dict[str, object]) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [training_examples, asset],
        resources={
            "recipe": RecipeResource(checkpoint_folder=str(home / "checkpoints")),
            "releases": ReleaseStore(home=str(home)),
            "reports": ReportFolder(path=str(home / "reports")),
            "studies": StudyFolder(path=str(home / "studies")),
            "io_manager": dg.mem_io_manager,
        },
        run_config={"ops": {asset.op.name: {"config": config}}},
    )


def test_every_trial_is_one_run_in_mlflow_and_the_best_recipe_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(JUDGES, "lists", hill)
    space = tmp_path / "hills.yaml"
    space.write_text(SPACE)
    for trials in (2, 3):
        done = run(best_recipe, tmp_path, {"space": str(space), "trials": trials})
    [made] = done.asset_materializations_for_node("best_recipe")
    best = Recipe.read(Path(str(made.metadata["recipe"].value)))
    assert best.name == "hills"
    assert best.ranker.l2 != Recipe().ranker.l2 or made.metadata["best_trial"].value == 0

    runs = list(ReleaseStore(home=str(tmp_path)).registry().book(TRIALS).tagged({"judged_by": "lists"}))
    assert sorted(run.data.tags["trial"] for run in runs) == ["0", "1", "2"], "each once, though heard twice"
    first = next(run for run in runs if run.data.tags["trial"] == "0")
    assert first.data.params == {"ranker.l2": f"{Recipe().ranker.l2}"}
    assert first.data.metrics["ndcg_at_10"] == pytest.approx(hill(None, Recipe(), None, lambda *_: None))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def test_a_comparison_is_a_page_and_a_run_for_each_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(comparing, "train_and_judge", judged_without_training)
    for recipe in RECIPES:
        recipe.write(tmp_path / f"{recipe.name}.yaml")
    files = [str(tmp_path / f"{recipe.name}.yaml") for recipe in RECIPES]
    done = run(experiment_comparison, tmp_path, {"recipes": files, "weeks": 1})
    [made] = done.asset_materializations_for_node("experiment_comparison")
    assert Path(str(made.metadata["page"].value)).read_text().startswith("<!doctype html>")

    runs = ReleaseStore(home=str(tmp_path)).registry().book("aisle-compare").tagged({"first": "popular"})
    found = {run.info.run_name: run for run in runs}
    assert set(found) == {recipe.name for recipe in RECIPES}
    assert found["own"].data.params["retriever.model_type"] == '"retrieval"'
    assert found["own"].data.metrics["ndcg_at_10_ratio"] > 1
