"""A checkpoint that other machines find too."""

import logging
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ml.retrieval import checkpoint as checkpoints
from ml.retrieval.checkpoint import Checkpoint
from ml.retrieval.trained import EpochReport
from ml.storage import ObjectStore, store_at
from tests.gcs import GcsServer

REPORT = EpochReport(
    epoch=0, loss=1.5, retrieval_loss=1.5, rating_loss=float("nan"), conversion_loss=float("nan"), weights=()
)


@dataclass
class Model:
    """What a checkpoint asks of a model: named weights, and an optimizer without state."""

    weights: np.ndarray
    optimizer: SimpleNamespace
    trainable_variables: tuple[()] = ()


def model(value: float) -> Model:
    return Model(np.array([value]), SimpleNamespace(variables=[], build=lambda _: None))


@pytest.fixture(autouse=True)
def _plain_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "named_weights", lambda model: {"w": model.weights})
    monkeypatch.setattr(checkpoints, "set_named_weights", lambda model, named: setattr(model, "weights", named["w"]))


@pytest.fixture(params=["folder", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return store_at(tmp_path / "store")
    return store_at(request.getfixturevalue("bucket_uri"))


def at(tmp_path: Path, machine: str, store: ObjectStore, fingerprint: str = "of this run") -> Checkpoint:
    return Checkpoint(tmp_path / machine / "base", fingerprint, store)


def restored(checkpoint: Checkpoint) -> tuple[float, int]:
    """The weight and the number of epochs done; those of a new model when there is nothing to restore."""
    fresh = model(0.0)
    reports = checkpoint.restore(fresh)
    return float(fresh.weights[0]), len(reports)


def test_a_run_goes_on_on_another_machine(tmp_path: Path, store: ObjectStore) -> None:
    at(tmp_path, "killed", store).write(model(7.0), [REPORT])
    assert restored(at(tmp_path, "another", store)) == (7.0, 1)


def test_a_run_that_nobody_began_starts_anew(tmp_path: Path, store: ObjectStore) -> None:
    assert restored(at(tmp_path, "first", store)) == (0.0, 0)


def test_a_checkpoint_of_another_run_in_the_store_is_left_alone(tmp_path: Path, store: ObjectStore) -> None:
    at(tmp_path, "killed", store, "of another run").write(model(7.0), [REPORT])
    assert restored(at(tmp_path, "another", store)) == (0.0, 0)


def test_an_old_checkpoint_here_gives_way_to_this_runs_in_the_store(tmp_path: Path, store: ObjectStore) -> None:
    at(tmp_path, "here", store, "of yesterday").write(model(1.0), [REPORT])
    at(tmp_path, "killed", store).write(model(7.0), [REPORT])
    assert restored(at(tmp_path, "here", store)) == (7.0, 1)


def test_this_runs_checkpoint_here_is_taken_before_the_stores(tmp_path: Path, store: ObjectStore) -> None:
    here = at(tmp_path, "here", store)
    here.write(model(1.0), [REPORT])
    Checkpoint(here.folder, here.fingerprint).write(model(2.0), [REPORT, REPORT])  # the store was away
    assert restored(here) == (2.0, 2)


def test_a_store_that_is_away_stops_no_training(
    tmp_path: Path, gcs: GcsServer, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = at(tmp_path, "here", store_at(gcs.uri))
    gcs.kill()
    with caplog.at_level(logging.WARNING):
        checkpoint.write(model(7.0), [REPORT])
    assert "is on this machine only" in caplog.text
    assert restored(checkpoint) == (7.0, 1)
