"""The champion's models over a later day's tables."""

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from ml.bundle.repack import repack
from ml.bundle.write import BundleFolder
from ml.candidates.settings import SourceSettings
from ml.contract.columns import DIM_ITEMS
from ml.dataset.training_data import TrainingData
from ml.index.planner import IndexSettings
from ml.runtime.bundle import Bundle, open_bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from tests import world

LATER = world.CUT + timedelta(days=7)
NEW_ITEM = "i900"


@pytest.fixture(scope="module")
def later() -> TrainingData:
    """A week on: one more item, and nothing else happened."""
    data = world.training_data()
    naive = LATER.replace(tzinfo=None)
    newcomer = {
        "item_id": NEW_ITEM,
        "title": "New",
        "category": "c0",
        "price": 9.0,
        "created_at": world.CUT,
        "is_active": True,
    }
    newcomer["created_at"] = newcomer["first_seen_at"] = naive - timedelta(days=1)
    moved = {
        name: table.set_column(0, "cut_at", pa.array([naive] * len(table), pa.timestamp("us")))
        for name, table in (
            ("item_features", data.item_features_at(world.CUT)),
            ("user_features", data.user_features_at(world.CUT)),
        )
    }
    items = pa.concat_tables([data.items, pa.Table.from_pylist([newcomer], schema=DIM_ITEMS)])
    return replace(data, items=items, cut_at=LATER, **moved)


@pytest.fixture(scope="module")
def repacked(later, written_bundle, tmp_path_factory) -> BundleFolder:
    parent = tmp_path_factory.mktemp("repacked")
    return repack(written_bundle.path, later, parent, sources=SourceSettings(), index=IndexSettings(), now=LATER)


@pytest.fixture(scope="module")
def opened(repacked) -> Bundle:
    return open_bundle(repacked.path)


def test_a_new_item_is_in_the_catalogue_and_has_a_vector(opened):
    assert opened.items.row(NEW_ITEM) >= 0
    assert len(opened.vectors) == len(opened.items) == world.NUM_ITEMS + 1


def test_the_models_are_the_champions_to_the_byte(repacked, written_bundle):
    for name in ("ranker.txt", "query_tower.onnx", "candidate_tower.onnx", "request.json"):
        assert (repacked.path / name).read_bytes() == (written_bundle.path / name).read_bytes()


def test_it_says_whose_models_it_has_even_after_a_second_time(repacked, opened, written_bundle, later, tmp_path):
    assert opened.manifest.facts.models_of == written_bundle.version
    assert opened.manifest.facts.cut_at == LATER
    again = repack(repacked.path, later, tmp_path, sources=SourceSettings(), index=IndexSettings(), now=LATER)
    assert open_bundle(again.path).manifest.facts.models_of == written_bundle.version


def test_it_answers_as_before_for_a_user_who_did_nothing_since(opened):
    answer = recommend(opened, HomeRequest(user_id=world.user_id(1), limit=5), now=LATER)
    assert {world.category_of(int(item.item_id[1:])) for item in answer.items} == {world.taste_of(1)}
