"""The third answer of the rating head: whether an encounter holds a view or a click."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from ml.contract.errors import DataError
from ml.contract.events import EventType
from ml.dataset.event_shards import EventShards
from ml.dataset.split import SplitSettings, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.offline import judge_heads
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.trained import EpochReport, TrainedRetriever
from ml.runtime.towers import OnnxTowers
from tests import world
from tests.ml.retrieval import shop

pytestmark = pytest.mark.tf

SETTINGS = shop.SETTINGS.model_copy(update={"click_weight": 0.5})


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """The small world, in which nobody looks at an item of category 0 before they buy it."""
    plain = world.training_data()
    [events] = plain.events.tables()
    category = np.array([world.category_of(int(id_[1:])) for id_ in plain.item_ids.ids.to_pylist()])
    unseen = (category[events["item_row"].to_numpy()] == 0) & (events["event_code"].to_numpy() == EventType.VIEW.code)
    return replace(plain, events=EventShards.of(events.filter(pa.array(~unseen))))


@pytest.fixture(scope="module")
def clicking(data: TrainingData) -> TrainedRetriever:
    from ml.retrieval.train import train_retriever

    return train_retriever(shop.examples(data), SETTINGS)


@pytest.fixture(scope="module")
def exported(clicking: TrainedRetriever, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ml.retrieval.export import export_retriever

    folder = tmp_path_factory.mktemp("clicking")
    export_retriever(clicking, folder, catalogue=data.items)
    return folder


def test_the_head_learns_who_looks_before_they_buy(clicking: TrainedRetriever, data: TrainingData):
    examples = shop.examples(data)
    looked_up = [world.category_of(int(data.item_ids.id(row)[1:])) != 0 for row in examples.item_rows]
    assert examples.is_click.tolist() == looked_up
    found = clicking.predict(
        clicking.query_vectors(examples.queries),
        clicking.candidate_vectors(examples.candidates)[examples.item_rows],
    ).click
    assert found is not None
    assert found[examples.is_click].min() > found[~examples.is_click].max()
    assert np.isfinite(clicking.epochs[-1].losses()["click_loss"])


def test_it_is_exported_like_the_others_and_judged_with_them(
    exported: Path, clicking: TrainedRetriever, data: TrainingData
):
    from ml.retrieval.parity import largest_difference, load_saved_model

    assert largest_difference(exported) <= 1e-5
    assert "click" in load_saved_model(exported).signatures["serve_ranking"].structured_outputs
    towers = OnnxTowers.open(exported)
    query, items = shop.query_vectors(clicking, data)[:1], clicking.item_vectors(data.items_by_row)
    served, trained = towers.rate(query[0], items), clicking.predict(np.repeat(query, len(items), axis=0), items)
    assert served.click == pytest.approx(trained.click, abs=1e-5)

    twin = SimpleNamespace(encoder=TowerEncoder.load(exported / "vocabularies"), towers=towers)
    exam = SimpleNamespace(data=data, split=TimeSplit.at(world.CUT, SplitSettings(), since=data.start_at))
    judged = judge_heads(cast(Any, twin), cast(Any, exam))
    assert {(metrics.head, metrics.split) for metrics in judged} == {
        (head, split) for head in ("value", "conversion", "click") for split in ("validation", "test")
    }
    assert all(metrics.auc == 1 for metrics in judged if metrics.head == "click")


def test_without_a_weight_there_is_no_such_answer(data: TrainingData):
    from ml.retrieval.train import train_retriever

    trained = train_retriever(shop.examples(data), shop.SETTINGS.model_copy(update={"epochs": 1}))
    vectors = trained.item_vectors(data.items_by_row)[:3]
    assert trained.predict(vectors, vectors).click is None
    assert "click_loss" not in trained.epochs[-1].losses()
    assert trained.model.rating_head.answers.units == 2


def test_reports_of_runs_before_there_was_one_are_read():
    stored = {"epoch": 0, "loss": 1, "retrieval_loss": 1, "rating_loss": 1, "conversion_loss": 1, "weights": []}
    assert "click_loss" not in EpochReport.model_validate(stored).losses()


@pytest.mark.parametrize(("kept", "received"), [(EventType.PURCHASE, "0 of"), (EventType.VIEW, r"(\d+) of \1 ")])
def test_events_that_cannot_tell_are_refused(kept: EventType, received: str):
    from ml.retrieval.train import train_retriever

    plain = world.training_data()
    [events] = plain.events.tables()
    alike = replace(plain, events=EventShards.of(events.filter(pa.compute.equal(events["event_code"], kept.code))))
    settings = SETTINGS.model_copy(update={"model_type": "multitask"})
    examples = shop.examples(alike)
    examples = replace(examples, target=np.ones_like(examples.target))  # its value is known, which is not at issue here
    with pytest.raises(
        DataError, match=rf"and encounters without\. Received: {received}.*with one\. Map the shop's views"
    ):
        train_retriever(examples, settings)


def test_a_weight_without_a_head_is_refused():
    with pytest.raises(
        ValueError, match=r"`click_weight` needs a rating head\. Received: `model_type: retrieval`, click_weight 0\.5"
    ):
        RetrieverSettings(model_type="retrieval", click_weight=0.5)
