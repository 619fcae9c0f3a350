"""What a search may change is checked before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.contract.errors import RecipeError
from ml.experiments.recipe import Recipe
from ml.experiments.space import SearchSpace

EPOCHS = {"retriever.epochs": {"low": 2, "high": 8}}


def read(folder: Path, said: Any) -> SearchSpace:
    path = folder / "towers.yaml"
    path.write_text(said if isinstance(said, str) else yaml.safe_dump(said))
    space = SearchSpace.read(path)
    space.check(Recipe())
    return space


def test_a_space_has_its_files_name_and_the_rest_by_default(tmp_path: Path):
    space = read(tmp_path, {"search": EPOCHS})
    assert (space.name, space.judged_by, space.metric, space.weeks, space.trials) == (
        "towers",
        "lists",
        "ndcg@10",
        2,
        30,
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("- 1", "must be a YAML mapping. Received: list"),
        ({}, "`search`: Field required"),
        ({"search": {}}, "`search`: Dictionary should have at least 1 item"),
        ({"search": EPOCHS, "trails": 3}, "`trails`: Extra inputs are not permitted"),
        ({"search": EPOCHS, "trials": 0}, "`trials`: Input should be greater than or equal to 1"),
        ({"search": EPOCHS, "judged_by": "test"}, "`judged_by`: Input should be 'towers' or 'lists'"),
        ({"search": EPOCHS, "metric": "auc"}, "`metric` must be one of recall@5, .* Received: 'auc'"),
        ({"search": {"retriever.epoch": {"low": 1, "high": 2}}}, "Received: 'retriever.epoch'.*Near it: retriever.epochs"),
        ({"search": {"retriever": {"low": 1, "high": 2}}}, "needs the dotted name of a recipe's field. Received: 'retriever'"),
        ({"search": {"split.train_days": {"low": 30, "high": 90}}}, "`split.train_days` cannot be searched: it decides by"),
        ({"search": {"gate.min_gain": {"low": 0.0, "high": 0.1}}}, "cannot be searched: it acts after"),
        ({"search": {"retriever.seed": {"low": 0, "high": 9}}}, "the best seed is the luckiest"),
        ({"judged_by": "towers", "search": {"ranker.num_leaves": {"low": 7, "high": 63}}}, "nothing about towers"),
        ({"judged_by": "towers", "search": {"retriever.top_k": {"low": 7, "high": 63}}}, "nothing about towers"),
        ({"search": {"retriever.epochs": {"low": 8, "high": 2}}}, "`low` must be below `high`. Received: 8 and 2"),
        ({"search": {"retriever.epochs": {"low": 0, "high": 2}}}, "`retriever.epochs`: Input should be greater than or"),
        ({"search": {"retriever.epochs": {"low": 1.0, "high": 3.0}}}, "fractional part"),
        ({"search": {"ranker.l2": {"low": 0.0, "high": 3.0, "log": True}}}, "`log` needs `low` above 0. Received: 0"),
        ({"search": {"ranker.l2": {"low": 1, "high": 3, "log": True, "step": 1}}}, "`log` and `step` exclude each other"),
        ({"search": {"ranker.l2": {"low": 1, "high": 4, "step": 2}}}, "`high` must lie whole steps above `low`"),
        ({"search": {"ranker.l2": {"choices": [1]}}}, "at least 2 items"),
        ({"search": {"ranker.l2": {"choices": [1, 1]}}}, "Choices must differ"),
        ({"search": {"retriever.model_type": {"choices": ["retrieval", "hybrid"]}}}, "'retrieval', 'ranking' or 'multitask'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, said: Any, told: str):
    with pytest.raises(RecipeError, match=told):
        read(tmp_path, said)


@pytest.mark.parametrize("name", ["search_towers", "search_ranker"])
def test_the_examples_fit_the_default_recipe(repository: Path, name: str):
    space = SearchSpace.read(repository / "examples" / f"{name}.yaml")
    space.check(Recipe())
    assert space.name == name
    assert space.around(Recipe()), "so the default recipe is the first trial"


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"none\.yaml, which does not exist"):
        SearchSpace.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("among", "inside"),
    [
        ({"low": 2, "high": 8}, True),
        ({"low": 6, "high": 8}, False),
        ({"choices": [5, 7]}, True),
        ({"choices": [6, 7]}, False),
    ],
)
def test_the_recipe_a_search_starts_from_is_in_the_space_or_not(tmp_path: Path, among: dict[str, Any], inside: bool):
    space = read(tmp_path, {"search": {"retriever.epochs": among}})
    assert space.around(Recipe().having({"retriever.epochs": 5})) == ({"retriever.epochs": 5} if inside else None)
