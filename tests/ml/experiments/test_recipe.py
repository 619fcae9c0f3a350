"""A recipe is what its file says, there and back."""

from pathlib import Path

import pytest

from ml.contract.errors import RecipeError
from ml.experiments.recipe import Recipe

CHANGED = {"retriever.epochs": 3, "retriever.tower_layers": [64, 32], "request.rules.max_per_category_in_top_10": 3}


def test_a_recipe_with_other_values_differs_in_these_alone():
    before, after = Recipe().values, Recipe().having(CHANGED).values
    assert {name: value for name, value in after.items() if value != before[name]} == CHANGED


def test_what_is_written_is_read_back(tmp_path: Path):
    recipe = Recipe().having({**CHANGED, "name": "small"})
    recipe.write(tmp_path / "small.yaml")
    assert Recipe.read(tmp_path / "small.yaml") == recipe


def test_only_what_differs_is_written_and_what_was_asked_for(tmp_path: Path):
    Recipe().having({"retriever.epochs": 3}).write(tmp_path / "r.yaml", always=["retriever.embedding_dim"])
    assert (tmp_path / "r.yaml").read_text() == "retriever:\n  embedding_dim: 64\n  epochs: 3\n"


def test_a_value_that_does_not_fit_is_named():
    with pytest.raises(
        RecipeError, match=r"`retriever\.epochs`: Input should be greater than or equal to 1 \(received 0"
    ):
        Recipe().having({"retriever.epochs": 0})


@pytest.mark.parametrize("name", ["multitask", "retrieval", "ranking"])
def test_the_examples_to_compare_are_recipes_of_the_type_their_name_says(repository: Path, name: str):
    recipe = Recipe.read(repository / "examples" / f"{name}.yaml")
    assert (recipe.name, recipe.retriever.model_type) == (name, name)
