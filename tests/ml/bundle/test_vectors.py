"""The bundle of a shop that has vectors of its items, and the tables of a day on which a new one came."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml.bundle.repack import repack
from ml.candidates.settings import SourceSettings
from ml.contract.columns import DIM_ITEMS
from ml.dataset.training_data import TrainingData
from ml.features.embeddings import embedding_names
from ml.index.planner import IndexSettings
from ml.runtime.bundle import Bundle, open_bundle
from tests import world

NEW_ITEM = "i900"
"""Of category 0, which nothing but its vector says."""


def shop(*, vectors: bool) -> TrainingData:
    data = world.training_data()
    day_before = (world.CUT - timedelta(days=1)).replace(tzinfo=None)
    newcomer = {"item_id": NEW_ITEM, "created_at": day_before, "first_seen_at": day_before, "is_active": True}
    data = replace(data, items=pa.concat_tables([data.items, pa.Table.from_pylist([newcomer], schema=DIM_ITEMS)]))
    return world.with_vectors(data) if vectors else data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.bundle_folder(tmp_path_factory.mktemp("vectors"), data=world.with_vectors(world.training_data())).path


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same models with tables that hold the new item. Opening asks again what was asked where it was written."""
    parent = tmp_path_factory.mktemp("packed")
    shop_now = shop(vectors=True)
    now = repack(folder, shop_now, parent, sources=SourceSettings(), index=IndexSettings(), now=world.CUT)
    return open_bundle(now.path)


def test_a_bundle_holds_what_towers_see_of_vectors_and_not_the_vectors(folder: Path):
    bundle = open_bundle(folder)
    assert embedding_names(bundle.items.table) == ()
    assert bundle.encoder.vector_sizes == (1 + 12,)
    assert bundle.encoder.seen_vectors.shape == (world.NUM_ITEMS + 1, 1 + 12)


def test_an_item_nobody_has_touched_is_found_by_its_vector(packed: Bundle):
    rows, _ = packed.sources.neighbours["content"].of(packed.items.row(NEW_ITEM))
    assert {packed.items.table["category"][int(row)].as_py() for row in rows} == {"c0"}
    table = packed.sources.neighbours["content"]
    finders = [row for row in range(len(packed.items)) if packed.items.row(NEW_ITEM) in table.of(row)[0]]
    assert {packed.items.table["category"][row].as_py() for row in finders} == {"c0"}


def test_models_that_saw_vectors_take_the_tables_of_a_day_without_them(folder: Path, tmp_path: Path):
    now = repack(folder, shop(vectors=False), tmp_path, sources=SourceSettings(), index=IndexSettings(), now=world.CUT)
    bundle = open_bundle(now.path)
    assert np.isfinite(bundle.vectors).all()
    assert len(bundle.sources.neighbours["content"].of(bundle.items.row(NEW_ITEM))[0]) == 0
