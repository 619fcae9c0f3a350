"""The towers of a request: ONNX graphs, opened from a folder, one core."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import BundleError
from ml.dataset.training_data import TrainingData
from ml.features.history import History
from ml.runtime.towers import CANDIDATE_TOWER, QUERY_TOWER, HeadPredictions, OnnxTowers
from tests import world

NOON = int(world.CUT.timestamp())


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return world.training_data()


@pytest.fixture(scope="module")
def folder(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("towers")
    world.models(data, where)
    return where


@pytest.fixture(scope="module")
def towers(folder: Path) -> OnnxTowers:
    return OnnxTowers.open(folder)


@pytest.fixture(scope="module")
def encoder(data: TrainingData, folder: Path):
    return world.models(data, folder).encoder


def test_a_history_of_one_category_points_at_its_items(towers, encoder, data):
    rows = np.array([2, 6, 10], np.int32)
    history = History(rows, np.zeros(3, np.int8), np.full(3, NOON - 60, np.int64), np.ones(3, np.float32))
    indexes = encoder.item_indexes(data.items_by_row["item_id"])

    query = towers.query(encoder.query(np.zeros(3, np.int32), history, item_indexes=indexes, at=NOON))
    scores = towers.candidates(encoder.candidates(data.items_by_row)) @ query[0]

    assert query.shape == (1, world.DIMENSION)
    assert {world.category_of(int(row)) for row in np.argsort(-scores)[:5]} == {2}


def test_any_number_of_items_becomes_as_many_vectors(towers, encoder, data):
    whole = towers.candidates(encoder.candidates(data.items_by_row))
    first = towers.candidates(encoder.candidates(data.items_by_row.slice(0, 1)))

    assert whole.shape == (world.NUM_ITEMS, world.DIMENSION)
    assert first == pytest.approx(whole[:1], abs=1e-6)


def test_the_candidate_tower_is_opened_by_who_asks_it(folder, encoder, data):
    towers = OnnxTowers.open(folder)
    assert "candidate_tower" not in vars(towers)
    towers.candidates(encoder.candidates(data.items.slice(0, 1)))
    assert "candidate_tower" in vars(towers)


def test_without_a_rating_head_every_prediction_is_unknown(towers):
    rated = towers.rate(np.ones(world.DIMENSION, np.float32), np.ones((3, world.DIMENSION), np.float32))

    assert isinstance(rated, HeadPredictions)
    for values in (rated.value, rated.value_normalized, rated.conversion):
        assert np.isnan(values).tolist() == [True, True, True]


@pytest.mark.parametrize("missing", [QUERY_TOWER, CANDIDATE_TOWER])
def test_a_folder_without_a_tower_is_refused(folder, tmp_path, missing):
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / missing).unlink()

    with pytest.raises(BundleError, match=f"Expected {missing}"):
        OnnxTowers.open(broken)


def test_a_request_uses_one_core(towers):
    for session in (towers.query_tower, towers.candidate_tower):
        options = session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
