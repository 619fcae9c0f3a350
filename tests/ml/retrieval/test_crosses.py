"""Towers with crosses of the recipe: both exported forms look them up, and training goes on with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml.contract.errors import RecipeError
from ml.dataset.split import SplitSettings, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.features.crosses import Cross
from ml.retrieval.stages import RetrieverStages, train_stages
from ml.retrieval.trained import named_weights
from tests import world
from tests.ml.retrieval import shop

pytestmark = pytest.mark.tf

SETTINGS = shop.SETTINGS.model_copy(
    update={
        "crosses": (
            Cross(columns=("category", "brand"), buckets=50),
            Cross(columns=("brand", "price"), buckets=30),
            Cross(columns=("country", "segment"), buckets=20),
        ),
        "epochs": 2,
    }
)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """The small world with brands and segments, some of them unknown."""
    plain = world.training_data()
    brands = [f"b{row % 3}" if row % 5 else None for row in range(len(plain.items))]
    segments = [f"s{row % 2}" if row % 7 else None for row in range(len(plain.users))]
    items = plain.items.set_column(plain.items.schema.get_field_index("brand"), "brand", pa.array(brands))
    users = plain.users.set_column(plain.users.schema.get_field_index("segment"), "segment", pa.array(segments))
    return replace(plain, items=items, users=users)


@pytest.fixture(scope="module")
def stages(data: TrainingData) -> RetrieverStages:
    return train_stages(data, TimeSplit.at(world.CUT, SplitSettings(), since=data.start_at), SETTINGS)


def test_each_cross_has_a_table_in_its_tower(stages: RetrieverStages):
    candidate, query = stages.final.model.candidate_tower, stages.final.model.query_tower
    assert [layer.input_dim for layer in candidate.attributes[-2:]] == [51, 31]
    assert [layer.input_dim for layer in query.attributes[-1:]] == [21]


def test_the_second_stage_goes_on_from_the_tables_of_the_first(stages: RetrieverStages):
    """Rows are hashes, so the same row means the same in both, whatever values have come since."""
    base, final = (
        stage.model.candidate_tower.attributes[-2].embeddings.numpy() for stage in (stages.base, stages.final)
    )
    moved = np.abs(base - final).max(axis=1)
    looked_up = set(stages.final.encoder.candidates(stages.catalogue).ids[:, -2].tolist())
    unused = [row for row in range(51) if row not in looked_up]
    assert unused
    assert not moved[unused].any()
    assert moved[[row for row in looked_up if row]].all()


def test_both_exported_forms_look_crosses_up_alike(stages: RetrieverStages, tmp_path: Path):
    from ml.retrieval.parity import largest_difference

    stages.save(tmp_path)
    assert largest_difference(tmp_path / "final") <= 1e-5
    # Were the users' cross left out of one of them, they would differ.
    weights = named_weights(stages.final.model)
    assert max(np.abs(values).max() for name, values in weights.items() if values.shape == (21, 16)) > 0.01


def test_other_crosses_are_another_shape(stages: RetrieverStages, data: TrainingData):
    from ml.retrieval.train import train_retriever

    with pytest.raises(RecipeError, match=r"Received: other values of crosses\."):
        train_retriever(shop.examples(data), shop.SETTINGS.for_catalogue(data.items.num_rows), warm_start=stages.base)
