"""Shards of item vectors: the same vectors as in one go, and a killed run makes only what is missing."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pytest

from ml.candidates.vector_shards import embed_in_shards
from ml.contract.types import Floats
from ml.features.tower_inputs import CandidateInputs, TowerEncoder
from tests import world

ROWS = 15
ITEMS = world.training_data().items_by_row
ENCODER = TowerEncoder.fit(users=world.training_data().users, items=ITEMS, history_length=4)


class Tower:
    """A tower that counts: a vector from each item's own inputs."""

    def __init__(self) -> None:
        self.embedded: list[int] = []

    def __call__(self, inputs: CandidateInputs) -> Floats:
        self.embedded.append(len(inputs.ids))
        return np.concatenate([np.sin(inputs.ids), inputs.numbers], axis=1).astype(np.float32)


def embed(folder: Path, items: pa.Table = ITEMS, *, tower: str = "a", with_tower: Tower | None = None) -> Floats:
    return embed_in_shards(items, with_tower or Tower(), encoder=ENCODER, tower=tower, folder=folder, rows=ROWS)


def test_shards_join_to_what_one_go_gives(tmp_path):
    tower = Tower()
    vectors = embed(tmp_path, with_tower=tower)

    assert tower.embedded == [15, 15, 10]
    assert np.array_equal(vectors, Tower()(ENCODER.candidates(ITEMS)))
    assert isinstance(vectors, np.memmap)


DIES_IN_THE_THIRD_SHARD = """
import os, signal, sys
from pathlib import Path
from tests.ml.candidates.test_vector_shards import Tower, embed

class Dies(Tower):
    def __call__(self, inputs):
        if len(self.embedded) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(inputs)

embed(Path(sys.argv[1]), with_tower=Dies())
"""


@pytest.mark.e2e
def test_a_killed_run_makes_only_the_missing_shards(tmp_path, repository):
    killed = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_THIRD_SHARD, str(tmp_path)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    tower = Tower()

    vectors = embed(tmp_path, with_tower=tower)

    assert tower.embedded == [10]
    assert np.array_equal(vectors, Tower()(ENCODER.candidates(ITEMS)))


@pytest.mark.parametrize("harm", ["altered", "half written", "without its hash"])
def test_a_shard_that_is_not_whole_is_made_again(tmp_path, harm):
    whole = np.array(embed(tmp_path))
    path = sorted(tmp_path.glob("shard-*.npy"))[0]
    content = path.read_bytes()
    match harm:
        case "altered":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "half written":
            path.write_bytes(content[: len(content) // 2])
        case _:
            path.with_suffix(".sha256").unlink()
    tower = Tower()

    assert np.array_equal(embed(tmp_path, with_tower=tower), whole)
    assert len(tower.embedded) == 1


def test_only_what_changed_is_embedded_again(tmp_path):
    embed(tmp_path)
    dearer = pa.array([99.0, *ITEMS["price"].to_pylist()[1:]])
    changed = ITEMS.set_column(ITEMS.schema.get_field_index("price"), "price", dearer)
    tower = Tower()

    vectors = embed(tmp_path, changed, with_tower=tower)

    assert tower.embedded == [15]
    assert np.array_equal(vectors, Tower()(ENCODER.candidates(changed)))
    assert len(list(tmp_path.glob("shard-*.npy"))) == 3, "what no catalogue needs is not kept"


def test_another_tower_embeds_everything_anew(tmp_path):
    embed(tmp_path)
    tower = Tower()

    embed(tmp_path, tower="b", with_tower=tower)

    assert tower.embedded == [15, 15, 10]


def test_vectors_in_use_stay_as_they_are_when_newer_ones_are_made(tmp_path):
    older = embed(tmp_path)
    copy = np.array(older)

    newer = embed(tmp_path, ITEMS.take(pa.array(range(39, -1, -1))))

    assert np.array_equal(older, copy)
    assert not np.array_equal(newer, copy)


def test_a_catalogue_without_items_has_no_vectors(tmp_path):
    assert embed(tmp_path, ITEMS.slice(0, 0)).shape == (0, 6)


def test_two_runs_at_once_wait_for_each_other_and_forget_nothing_of_the_other_meanwhile(tmp_path):
    """Each would take the other's shards for old ones."""
    under_way, may_end, at_once = Event(), Event(), []

    class Slow(Tower):
        def __call__(self, inputs):
            under_way.set()
            assert may_end.wait(20)
            at_once.append("a")
            return super().__call__(inputs)

    class Quick(Tower):
        def __call__(self, inputs):
            at_once.append("b")
            return super().__call__(inputs)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(embed, tmp_path, tower="a", with_tower=Slow())
        assert under_way.wait(20)
        second = pool.submit(embed, tmp_path, tower="b", with_tower=Quick())
        time.sleep(0.2)
        may_end.set()
        assert np.array_equal(first.result(20), second.result(20))
    assert at_once == ["a"] * 3 + ["b"] * 3
