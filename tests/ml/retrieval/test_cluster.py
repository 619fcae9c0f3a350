"""Several processes that train together learn what one would have learned alone."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import PlatformError, RecipeError
from ml.dataset.split import SplitSettings, TimeSplit
from ml.retrieval.cluster import Cluster
from ml.retrieval.stages import RetrieverStages, train_stages
from ml.retrieval.trained import named_weights
from tests import world
from tests.ml.retrieval import shop

TOLERANCE = 1e-5
"""Relative for losses, absolute for weights. Sums of float32 are added up in another order; nothing else differs. Seen: 2e-7."""
SETTINGS = shop.SETTINGS.model_copy(update={"epochs": 3})
SPLIT = TimeSplit.at(world.CUT, SplitSettings(ranker_weeks=2))
TWO = ("a:1", "b:2")


def tf_config(workers: tuple[str, ...], index: int, **changes: object) -> str:
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}, **changes})


def test_tensorflows_own_variable_names_the_cluster():
    cluster = Cluster.of(tf_config(TWO, 1))
    assert cluster == Cluster(TWO, 1)
    assert not cluster.is_chief
    assert Cluster(TWO, 0).is_chief


@pytest.mark.parametrize("said", [None, "", tf_config(("alone:1",), 0)])
def test_one_process_is_no_cluster(said):
    assert Cluster.of(said) is None


@pytest.mark.parametrize(
    "said",
    [
        "not json",
        "[]",
        "{}",
        tf_config(TWO, 2),
        tf_config(TWO, -1),
        tf_config(TWO, 0, task={"type": "chief", "index": 0}),
        tf_config(TWO, 0, cluster={"worker": TWO, "ps": ["c:3"]}),
    ],
)
def test_a_cluster_of_another_make_is_refused(said):
    with pytest.raises(PlatformError, match="TF_CONFIG must be"):
        Cluster.of(said)


def test_the_parts_of_a_batch_are_equal_and_make_up_the_whole():
    parts = [list(range(12))[Cluster(("a:1", "b:2", "c:3"), index).part(12)] for index in range(3)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    with pytest.raises(RecipeError, match=r"2 equal parts\. Received: 7 examples"):
        Cluster(TWO, 0).part(7)


TRAINS = """
import os, signal, sys
from pathlib import Path
from ml.retrieval.cluster import Cluster
from ml.retrieval.stages import train_stages
from tests import world
from tests.ml.retrieval.test_cluster import SETTINGS, SPLIT

folder, dies_after, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
cluster = Cluster.of(os.environ["TF_CONFIG"])
epochs = []

def on_epoch(report):
    epochs.append(report.epoch)
    if not cluster.is_chief and len(epochs) == dies_after:
        os.kill(os.getpid(), signal.SIGKILL)

settings = SETTINGS.model_copy(update={"seed": seed if cluster.is_chief else 0, "events_in_memory": 0})
stages = train_stages(
    world.training_data(),
    SPLIT,
    settings,
    checkpoints=folder / "checkpoints" if cluster.is_chief else folder / "checkpoints-of-the-other",
    scratch=folder / f"examples-{cluster.index}",
    on_epoch=on_epoch,
    cluster=cluster,
)
(folder / f"epochs-{cluster.index}.txt").write_text(str(epochs))
for name in ("base", "final"):
    target = folder / f"stages-{cluster.index}" / name
    target.mkdir(parents=True)
    getattr(stages, name).save(target)
"""


def run_two(folder: Path, repository: Path, *, dies_after: int = 0, seed: int = 0) -> list[subprocess.CompletedProcess]:
    """Two processes of one cluster; what became of each. Neither outlives this call."""
    workers = tuple(f"localhost:{port}" for port in free_ports(2))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINS, str(folder), str(dies_after), str(seed)],
            cwd=repository,
            env={**os.environ, "PYTHONPATH": str(repository), "TF_CONFIG": tf_config(workers, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    try:
        said = [child.communicate(timeout=240)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    return [subprocess.CompletedProcess([], child.returncode, out) for child, out in zip(children, said, strict=True)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "weights.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> RetrieverStages:
    scratch = tmp_path_factory.mktemp("alone")
    settings = SETTINGS.model_copy(update={"events_in_memory": 0})
    return train_stages(world.training_data(), SPLIT, settings, scratch=scratch / "examples")


@pytest.mark.tf
@pytest.mark.e2e
def test_two_processes_learn_what_one_learns_also_after_one_was_killed(alone, tmp_path, repository):
    """The second process is killed after two epochs; both are started again and go on from the chief's checkpoint."""
    died = run_two(tmp_path, repository, dies_after=2)
    assert died[1].returncode == -signal.SIGKILL, died[1].stdout
    assert died[0].returncode not in (0, None), "a chief whose partner is gone must end, and not with success"

    again = run_two(tmp_path, repository)

    assert [process.returncode for process in again] == [0, 0], again[0].stdout + again[1].stdout
    total = SETTINGS.epochs + SETTINGS.carry_on_epochs
    epochs = [json.loads((tmp_path / f"epochs-{index}.txt").read_text()) for index in range(2)]
    assert epochs[0] == epochs[1]
    assert len(epochs[0]) == total - 2
    for stage in ("base", "final"):
        expected = getattr(alone, stage)
        for index in range(2):
            folder = tmp_path / f"stages-{index}" / stage
            reports = json.loads((folder / "epochs.json").read_text())
            for part in ("loss", "retrieval_loss", "rating_loss", "conversion_loss"):
                curve = [getattr(report, part) for report in expected.epochs]
                assert [report[part] for report in reports] == pytest.approx(curve, rel=TOLERANCE), (stage, part)
            for name, weights in named_weights(expected.model).items():
                assert weights_of(folder)[name] == pytest.approx(weights, abs=TOLERANCE), (stage, name)
    assert (tmp_path / "checkpoints" / "base" / "checkpoint.npz").is_file()
    assert not (tmp_path / "checkpoints-of-the-other").exists(), "the chief alone writes"


@pytest.mark.tf
@pytest.mark.e2e
def test_processes_with_different_recipes_do_not_train_together(tmp_path, repository):
    processes = run_two(tmp_path, repository, seed=5)

    assert 0 not in [process.returncode for process in processes]
    assert any("must learn from the same examples by the same recipe" in process.stdout for process in processes)
