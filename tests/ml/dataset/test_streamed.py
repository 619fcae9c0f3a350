"""Examples on disk are the same examples, in an order that can be had again, and in flat memory."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import DataError, LeakageError
from ml.dataset.event_shards import EventShards
from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import Window
from ml.dataset.streamed import StreamedExamples
from ml.features.tower_inputs import TowerEncoder
from tests import world
from tests.ml.dataset.test_examples import same

CUT = int(world.CUT.timestamp())
GROUP = 50


def of(log) -> RetrievalExamples:
    data = world.training_data()
    encoder = TowerEncoder.fit(users=data.users_by_row, items=data.items_by_row, history_length=4)
    window = Window(CUT - 60 * 86_400, CUT - 86_400)
    return RetrievalExamples.of(log, encoder=encoder, users=data.users_by_row, items=data.items_by_row, window=window)


@pytest.fixture(scope="module")
def in_memory() -> RetrievalExamples:
    return of(world.training_data().log)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory) -> StreamedExamples:
    [table] = world.training_data().events.tables()
    shards = EventShards.of(table, num_shards=3)
    return StreamedExamples.write(map(of, shards.logs()), tmp_path_factory.mktemp("examples"), group_rows=GROUP)


def in_one_order(examples: RetrievalExamples) -> RetrievalExamples:
    return examples.take(np.lexsort((examples.item_rows, examples.user_rows, examples.at)))


def epoch(source, number: int = 0, *, seed: int = 0, batch_size: int = 64) -> list[RetrievalExamples]:
    return list(source.batches(batch_size=batch_size, seed=seed, epoch=number))


def places(batches: list[RetrievalExamples]) -> list[tuple[int, ...]]:
    return [key for b in batches for key in zip(b.at.tolist(), b.user_rows.tolist(), b.item_rows.tolist(), strict=True)]


def test_both_kinds_hold_the_same_examples(streamed, in_memory):
    [everything] = epoch(streamed, batch_size=10**6)

    assert len(streamed.groups) > 10
    assert same(in_one_order(everything), in_one_order(in_memory))
    assert len(streamed) == len(in_memory)


def test_what_training_asks_of_both_is_the_same(streamed, in_memory):
    assert np.array_equal(streamed.item_shares, in_memory.item_shares)
    assert np.array_equal(np.sort(streamed.known_targets), np.sort(in_memory.known_targets))
    assert np.array_equal(streamed.candidates.ids, in_memory.candidates.ids)
    assert streamed.window == in_memory.window
    assert streamed.encoder.query_sizes == in_memory.encoder.query_sizes


@pytest.mark.parametrize("kind", ["streamed", "in_memory"])
def test_an_epoch_has_batches_of_one_size_and_no_example_twice(kind, request):
    source = request.getfixturevalue(kind)
    batches = epoch(source)

    assert {len(batch) for batch in batches} == {64}
    assert len(batches) == len(source) // 64
    assert len(set(places(batches))) == 64 * len(batches)


@pytest.mark.parametrize("kind", ["streamed", "in_memory"])
def test_the_order_depends_on_seed_and_epoch_alone(kind, request):
    source = request.getfixturevalue(kind)

    assert places(epoch(source, 1)) == places(epoch(source, 1))
    assert places(epoch(source, 1)) != places(epoch(source, 2))
    assert places(epoch(source, 1, seed=5)) != places(epoch(source, 1))


def test_examples_of_one_group_meet_others_in_every_epoch(streamed, monkeypatch):
    monkeypatch.setattr("ml.dataset.streamed.GROUPS_PER_BUFFER", 2)
    first, second = (places(epoch(streamed, number, batch_size=2 * GROUP))[: 2 * GROUP] for number in (0, 1))

    assert len(set(first) & set(second)) <= GROUP


def test_a_batch_mixes_users_and_times(streamed, in_memory):
    first = epoch(streamed)[0]

    assert len(np.unique(first.user_rows)) > 20
    spread = np.ptp(first.at) / np.ptp(in_memory.at)
    assert spread > 0.8


def test_the_digest_is_that_of_the_examples_and_their_order(streamed, tmp_path):
    def written(shards: list[RetrievalExamples], name: str, group_rows: int = GROUP) -> str:
        return StreamedExamples.write(shards, tmp_path / name, group_rows=group_rows).digest

    shards = [of(log) for log in EventShards.of(*world.training_data().events.tables(), num_shards=3).logs()]
    assert written(shards, "a") == streamed.digest
    assert written(shards, "b", group_rows=60) != streamed.digest
    assert written([shards[0].take(slice(1, None)), *shards[1:]], "c") != streamed.digest


def test_examples_that_look_ahead_cannot_be_read(streamed, in_memory):
    late = replace(streamed, window=Window(0, int(in_memory.at.max())))
    with pytest.raises(LeakageError, match="end of its window"):
        epoch(late)


def test_no_shard_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least one shard"):
        StreamedExamples.write([], tmp_path)


STREAMS = """
import sys
from pathlib import Path
import psutil
from ml.dataset.streamed import StreamedExamples

examples = StreamedExamples.open(Path(sys.argv[1]))
process = psutil.Process()
before, seen, size, growth, held = process.memory_info().rss, 0, 0, 0, []
for batch in examples.batches(batch_size=1024, seed=0, epoch=0):
    seen, size = seen + len(batch), size + sum(array.nbytes for array in batch.rows().values())
    growth = max(growth, process.memory_info().rss - before)
    if sys.argv[2] == "held":
        held.append(batch)
assert "tensorflow" not in sys.modules
print(seen, size / 2**20, growth / 2**20)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory, in_memory) -> Path:
    """270 MB of examples: the same few, many times."""
    block = in_memory.take(np.random.default_rng(0).integers(0, len(in_memory), 65_536))
    folder = tmp_path_factory.mktemp("large")
    StreamedExamples.write((block.take(slice(None)) for _ in range(40)), folder, group_rows=4_096)
    return folder


def read_in_a_child(folder: Path, how: str, repository: Path) -> tuple[int, float, float]:
    """Examples seen, their size and by how much the process grew, in MB."""
    child = subprocess.run(
        [sys.executable, "-c", STREAMS, str(folder), how],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    seen, size, growth = child.stdout.split()
    return int(seen), float(size), float(growth)


@pytest.mark.e2e
def test_memory_stays_flat_while_many_times_as_much_is_streamed(large, repository):
    seen, size, growth = read_in_a_child(large, "streamed", repository)

    assert seen == 40 * 65_536 // 1_024 * 1_024
    assert size > 250
    assert growth < size / 5


@pytest.mark.e2e
def test_the_same_measure_sees_it_when_everything_is_held(large, repository):
    _, size, growth = read_in_a_child(large, "held", repository)

    assert growth > 0.9 * size
