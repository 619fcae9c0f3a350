"""A recipe that cannot work says so before anything is trained."""

import pytest
from pydantic import ValidationError

from ml.retrieval.settings import RetrieverSettings

NOTHING = {"retrieval_weight": 0, "rating_weight": 0, "conversion_weight": 0}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"model_type": "multitask", **NOTHING}, "needs at least one loss weight above 0"),
        (
            {"model_type": "ranking", "rating_weight": 0, "conversion_weight": 0},
            "needs at least one loss weight above 0",
        ),
        ({"model_type": "retrieval", "retrieval_weight": 0}, "needs at least one loss weight above 0"),
        ({"model_type": "multitask", "rating_layers": ()}, "needs `rating_layers`"),
        ({"model_type": "ranking", "rating_layers": ()}, "needs `rating_layers`"),
        ({"tower_layers": (64, 0)}, "Layer widths must be at least 1"),
        ({"target_column": "margin"}, "'amount' or 'quantity'"),
        ({"embeding_dim": 64}, "Extra inputs are not permitted"),
        ({"factor_dim": -1}, "greater than or equal to 0"),
        ({"factor_weight": 0}, "greater than 0"),
        ({"factor_dropout": 1.5}, "less than or equal to 1"),
        ({"temperature": 0}, "greater than 0"),
        ({"retrieval_loss": "triplet", "learn_temperature": True}, "needs the softmax"),
        ({"model_type": "ranking", "learn_temperature": True}, "needs the softmax"),
        ({"batch_size": 64, "uniform_negatives": 16, "hard_negatives": 80}, "fewer than the 80 candidates of a step"),
        ({"logq": True}, "'none', 'standard' or 'refined'"),
        ({"rating_loss": "hinge"}, "'mse', 'bce', 'pairwise' or 'listwise'"),
        ({"rating_loss": "bce", "model_type": "retrieval"}, "needs a rating head that learns it"),
        ({"rating_loss": "listwise", "rating_weight": 0}, "needs a rating head that learns it.*rating_weight 0"),
        ({"start": "svd"}, "'random' or 'spectral'"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe, message):
    with pytest.raises(ValidationError, match=message):
        RetrieverSettings(**recipe)


def test_a_retrieval_recipe_needs_no_rating_layers():
    assert not RetrieverSettings(model_type="retrieval", rating_layers=()).rates


def test_every_setting_says_what_it_is():
    assert all(field.description for field in RetrieverSettings.model_fields.values())
