"""The stages on a shop that is too young, and on one whose examples do not fit into memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import ContractError, DataError
from ml.dataset.event_shards import EventShards
from ml.dataset.examples import RetrievalExamples, require_examples
from ml.dataset.split import SplitSettings, TimeSplit, Window
from ml.dataset.streamed import StreamedExamples
from ml.dataset.training_data import TrainingData
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.stages import examples_of, train_stages
from tests import world
from tests.ml.retrieval import shop


def test_a_window_before_the_first_event_is_told_to_be_empty() -> None:
    examples = examples_of(world.training_data(), Window(0, 1), RetrieverSettings())
    assert len(examples) == 0
    with pytest.raises(DataError, match="at least one event that shows interest"):
        require_examples(examples)


def test_a_stage_knows_only_users_and_items_of_its_own_past() -> None:
    data = world.training_data()
    end = int(data.log.occurred_at[len(data.log) // 50])
    examples = examples_of(data, Window(end - 1, end), RetrieverSettings())
    assert 0 < len(examples.encoder.users) < world.NUM_USERS


@pytest.mark.parametrize(
    ("items", "dim"),
    [(1_000, 64), (1_001, 32), (2_000, 32), (4_000, 16), (8_000, 8), (8_001, 0), (511, 32), (64, 8), (63, 0)],
)
def test_a_catalogue_has_as_many_factors_as_its_size_bears(items: int, dim: int) -> None:
    settings = RetrieverSettings(factor_dim=64, factor_numbers=64_000)
    assert settings.for_catalogue(items).factor_dim == dim


@pytest.mark.parametrize(("items", "dim"), [(1_000, 48), (1_334, 32), (383, 32), (384, 48)])
def test_a_number_of_factors_that_is_no_power_of_two_gives_way_to_one(items: int, dim: int) -> None:
    settings = RetrieverSettings(factor_dim=48, factor_numbers=64_000)
    assert settings.for_catalogue(items).factor_dim == dim


STREAMING = shop.SETTINGS.model_copy(update={"epochs": 3, "events_in_memory": 0})


def sharded() -> TrainingData:
    data = world.training_data()
    [events] = data.events.tables()
    return replace(data, events=EventShards.of(events, num_shards=3))


def test_a_log_too_long_for_memory_gives_the_same_examples_on_disk(tmp_path: Path) -> None:
    streamed = examples_of(sharded(), shop.TRAIN, STREAMING, scratch=tmp_path)
    in_memory = shop.examples(world.training_data())
    assert isinstance(streamed, StreamedExamples)
    assert isinstance(in_memory, RetrievalExamples)
    [everything] = streamed.batches(batch_size=10**6, seed=0, epoch=0)
    for name, array in in_memory.rows().items():
        found = everything.rows()[name]
        assert np.array_equal(
            np.sort(found, axis=None), np.sort(array, axis=None), equal_nan=array.dtype.kind == "f"
        ), name
    assert streamed.encoder.query_sizes == in_memory.encoder.query_sizes
    assert np.array_equal(streamed.item_shares, in_memory.item_shares)


def test_examples_on_disk_need_a_place() -> None:
    with pytest.raises(ContractError, match="Name a folder, or raise `events_in_memory`"):
        examples_of(sharded(), shop.TRAIN, STREAMING)


@pytest.mark.tf
def test_batches_from_disk_and_from_memory_teach_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batches in the same order: what is left to differ is where they come from."""
    from ml.retrieval.train import train_retriever

    streamed = examples_of(sharded(), shop.TRAIN, STREAMING, scratch=tmp_path)
    in_memory = shop.examples(world.training_data())
    from_disk = train_retriever(streamed, STREAMING)

    place = {key: i for i, key in enumerate(_keys(in_memory))}

    def as_on_disk(_examples: int, **of_epoch: int) -> Iterator[np.ndarray]:
        for batch in streamed.batches(**of_epoch):
            yield np.array([place[key] for key in _keys(batch)])

    monkeypatch.setattr("ml.dataset.examples.batches", as_on_disk)
    from_memory = train_retriever(in_memory, STREAMING)

    assert len(place) == len(in_memory)
    assert from_disk.epochs == from_memory.epochs
    assert from_disk.target == from_memory.target


@pytest.mark.tf
def test_both_stages_learn_from_disk(tmp_path: Path) -> None:
    split = TimeSplit.at(world.CUT, SplitSettings(ranker_weeks=2))
    few = STREAMING.model_copy(update={"factor_numbers": 0})
    stages = train_stages(sharded(), split, few, scratch=tmp_path)
    assert stages.base.settings.factor_dim == stages.final.settings.factor_dim == 0
    assert stages.final.epochs[-1].retrieval_loss < stages.base.epochs[0].retrieval_loss
    assert stages.num_examples == len(examples_of(sharded(), split.train, shop.SETTINGS))


def _keys(examples: RetrievalExamples) -> list[tuple[int, ...]]:
    return list(zip(examples.at.tolist(), examples.user_rows.tolist(), examples.item_rows.tolist(), strict=True))
