"""A worker takes part in the training of its chief's snapshot, or says what it lacks."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.contract.errors import PlatformError
from ml.dataset.training_data import TrainingData
from ml.retrieval.cluster import Cluster
from orchestration import training_worker
from orchestration.resources.artifacts import ArtifactStore
from orchestration.resources.exports import ExportArea
from orchestration.resources.recipe import RecipeResource
from orchestration.settings import PlatformSettings
from tests import world

WORKERS = ["localhost:1", "localhost:2"]


def recipe(tmp_path: Path, index: int | None) -> RecipeResource:
    said = (
        None
        if index is None
        else json.dumps({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": index}})
    )
    return RecipeResource(checkpoint_folder=str(tmp_path / "checkpoints"), tf_config=said)


def train_along(tmp_path: Path, index: int | None) -> None:
    training_worker.train_along(
        ArtifactStore(root=str(tmp_path / "artifacts")),
        recipe(tmp_path, index),
        ExportArea(uri=str(tmp_path / "exports"), scratch_folder=str(tmp_path / "scratch")),
    )


def test_the_settings_read_tensorflows_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "some cluster")
    assert PlatformSettings().tf_config == "some cluster"


@pytest.mark.parametrize("index", [None, 0], ids=["alone", "chief"])
def test_who_is_no_worker_is_told_so(tmp_path: Path, index: int | None) -> None:
    with pytest.raises(PlatformError, match="index above 0"):
        train_along(tmp_path, index)


def test_a_worker_without_a_snapshot_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="needs `ml/training_examples`"):
        train_along(tmp_path, 1)


def test_a_worker_trains_on_the_chiefs_snapshot_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That both learn the same is proven in the tests of the cluster itself."""
    data = world.training_data()
    folder = tmp_path / "artifacts" / "ml" / "training_examples"
    folder.mkdir(parents=True)
    data.save(folder)
    asked: dict[str, Any] = {}

    def train_stages(snapshot: TrainingData, *_: object, **options: object) -> None:
        asked.update(options, digest=snapshot.events.digest())

    monkeypatch.setattr(training_worker, "train_stages", train_stages)
    train_along(tmp_path, 1)

    assert asked.pop("digest") == data.events.digest()
    scratch = asked.pop("scratch")
    assert asked == {"cluster": Cluster(tuple(WORKERS), 1)}
    assert tmp_path / "scratch" / "examples" in scratch.parents
    assert not scratch.parent.exists()
