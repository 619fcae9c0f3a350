"""Towers that see the vectors a shop has of its items, and what that is worth for items nobody has touched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml.contract.errors import ContractError
from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats
from ml.dataset.event_shards import EventShards
from ml.dataset.split import SplitSettings, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.trained import TrainedRetriever, named_weights
from tests import world
from tests.ml.retrieval import shop

pytestmark = pytest.mark.tf

NEW = 12
"""So many items, the last ones, have no event."""


def without_words(data: TrainingData) -> TrainingData:
    """Without the events of the new items, and without the category: of taste, vectors alone can tell."""
    old = np.array([int(id_[1:]) < world.NUM_ITEMS - NEW for id_ in data.item_ids.ids.to_pylist()])
    [events] = data.events.tables()
    kept = events.filter(pa.array(old[events["item_row"].to_numpy()]))
    place = data.items.schema.get_field_index("category")
    items = data.items.set_column(place, "category", pa.nulls(len(data.items), pa.string()))
    return replace(data, events=EventShards.of(kept), items=items)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return without_words(world.with_vectors(world.training_data()))


def train(data: TrainingData) -> TrainedRetriever:
    from ml.retrieval.train import train_retriever

    return train_retriever(shop.examples(data), shop.SETTINGS)


@pytest.fixture(scope="module")
def seeing(data: TrainingData) -> TrainedRetriever:
    return train(data)


@pytest.fixture(scope="module")
def exported(seeing: TrainedRetriever, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ml.retrieval.export import export_retriever

    folder = tmp_path_factory.mktemp("seeing")
    export_retriever(seeing, folder, catalogue=data.items)
    return folder


def share_put_first(trained: TrainedRetriever, data: TrainingData) -> float:
    """Of pairs of a new item of a user's taste and one of another, those in which the first has the higher score."""
    scores = shop.query_vectors(trained, data) @ trained.item_vectors(data.items_by_row).T
    new = np.arange(world.NUM_ITEMS - NEW, world.NUM_ITEMS - 1)  # the last item has no vector
    mine = new % world.NUM_CATEGORIES == np.arange(world.NUM_USERS)[:, None] % world.NUM_CATEGORIES
    ahead = scores[:, new][:, :, None] > scores[:, new][:, None, :]
    pairs = mine[:, :, None] & ~mine[:, None, :]
    return float(ahead[pairs].mean())


def test_new_items_are_ranked_by_what_their_vectors_say(seeing: TrainedRetriever, data: TrainingData):
    without = without_words(world.training_data())
    blind = train(without)
    assert share_put_first(seeing, data) > 0.9
    assert 0.3 < share_put_first(blind, without) < 0.7
    known = shop.recall_at(10, shop.query_vectors(seeing, data) @ seeing.item_vectors(data.items_by_row).T, data)
    assert known > 0.9 * shop.recall_at(
        10, shop.query_vectors(blind, without) @ blind.item_vectors(without.items_by_row).T, without
    )
    assert [name for name in named_weights(seeing.model) if "given_vectors" in name]
    assert not [name for name in named_weights(blind.model) if "given_vectors" in name or "preference" in name]


def preference_of(encoder: TowerEncoder, items: list[int], events: list[int]) -> Floats:
    from ml.retrieval.towers import Preference

    weights = [1.0, *(EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES)]
    layer = Preference(encoder.seen_vectors, encoder.vector_sizes, event_weights=weights)
    found: Floats = layer(np.array([items], np.int32), np.array([events], np.int32)).numpy()[0]
    return found


def test_a_users_preference_is_the_mean_vector_of_what_they_liked(seeing: TrainedRetriever):
    encoder = seeing.encoder
    liked, disliked = EventType.PURCHASE.code + 1, EventType.RETURN.code + 1
    # Item 0 is one we do not know, event 0 is padding.
    found = preference_of(encoder, [3, 0, 5, 7, 9], [liked, liked, liked, disliked, 0])
    np.testing.assert_allclose(found, encoder.seen_vectors[[3, 5]].astype(np.float32).mean(axis=0), rtol=1e-5)
    assert found[0] == 1
    for items, events in (([0, 0], [liked, liked]), ([7, 0], [disliked, 0]), ([0, 0], [0, 0])):
        assert not preference_of(encoder, items, events).any()


def test_both_exported_forms_say_the_same(exported: Path, seeing: TrainedRetriever, data: TrainingData):
    from ml.retrieval.parity import largest_difference
    from ml.runtime.towers import OnnxTowers

    compiled = OnnxTowers.open(exported).compiled_query
    assert compiled is not None
    assert compiled.weights.given is not None
    assert largest_difference(exported) <= 1e-5
    encoder = TowerEncoder.load(exported / "vocabularies")
    inputs = encoder.candidates(data.items)
    assert inputs.numbers.shape == (world.NUM_ITEMS, 1 + sum(encoder.vector_sizes))
    assert not inputs.numbers[-1, 1:].any()  # of the item without a vector
    served = OnnxTowers.open(exported).candidates(inputs)
    np.testing.assert_allclose(served, seeing.item_vectors(data.items), atol=1e-5)


def test_a_stored_retriever_gives_the_same_vectors(seeing: TrainedRetriever, data: TrainingData, tmp_path: Path):
    seeing.save(tmp_path)
    loaded = TrainedRetriever.load(tmp_path)
    np.testing.assert_array_equal(loaded.item_vectors(data.items), seeing.item_vectors(data.items))
    np.testing.assert_array_equal(shop.query_vectors(loaded, data), shop.query_vectors(seeing, data))


def test_a_catalogue_that_lost_its_vectors_is_still_encoded(seeing: TrainedRetriever, data: TrainingData):
    """As the champion of yesterday is packed with the tables of a day on which a shop's vectors failed."""
    lost = data.items.drop_columns(["vector.text"])
    vectors = seeing.item_vectors(lost)
    assert np.isfinite(vectors).all()
    assert not np.allclose(vectors, seeing.item_vectors(data.items), atol=0.1)


def test_both_stages_see_along_the_same_directions_and_no_other_will_do(data: TrainingData):
    from ml.retrieval.stages import train_stages
    from ml.retrieval.train import train_retriever

    settings = shop.SETTINGS.model_copy(update={"epochs": 1, "carry_on_epochs": 1})
    stages = train_stages(data, TimeSplit.at(world.CUT, SplitSettings(), since=data.start_at), settings)
    base, final = stages.base.encoder, stages.final.encoder
    assert base.fitted.vectors == final.fitted.vectors == ("text",)
    np.testing.assert_array_equal(base.directions["text"].axes, final.directions["text"].axes)
    with pytest.raises(
        ContractError, match=r"along the directions of vectors it began with\. .* Fit `TowerEncoder` with `like`"
    ):
        train_retriever(
            shop.examples(without_words(world.training_data())), stages.base.settings, warm_start=stages.base
        )
