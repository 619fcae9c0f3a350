from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from ml.contract.errors import ContractError, StorageError
from ml.storage import store_at
from orchestration.resources.artifacts import ArtifactStore


@dataclass(frozen=True)
class Model:
    """A trained thing."""

    weights: str
    breaks: bool = False

    def save(self, folder: Path) -> None:
        (folder / "weights.txt").write_text(self.weights)
        if self.breaks:
            raise OSError("No space left on device")

    @classmethod
    def load(cls, folder: Path) -> "Model":
        return cls((folder / "weights.txt").read_text())


@pytest.fixture(params=["folder", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """The same promises on both sides."""
    if request.param == "folder":
        return ArtifactStore(root=str(tmp_path / "artifacts"))
    return ArtifactStore(root=request.getfixturevalue("bucket_uri"), cache=str(tmp_path / "cache"))


def graph(value: Any) -> tuple[list[dg.AssetsDefinition], list[Any]]:
    """An asset that returns `value`, and what the asset after it is given."""
    received: list[Any] = []

    @dg.asset(key=["ml", "model"])
    def made() -> dg.Output[Any]:
        return dg.Output(value)

    @dg.asset(ins={"model": dg.AssetIn(["ml", "model"])})
    def used(model: Model) -> None:
        received.append(model)

    return [made, used], received


def materialise(value: Any, store: ArtifactStore, instance: dg.DagsterInstance) -> tuple[bool, list[Any]]:
    assets, received = graph(value)
    result = dg.materialize(assets, instance=instance, resources={"io_manager": store}, raise_on_error=False)
    return result.success, received


def files(store: ArtifactStore, *key: str) -> dict[str, bytes]:
    """The stored files of an asset."""
    folder = store.folder_of(dg.AssetKey(key))
    assert folder is not None
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_another_machine(store: ArtifactStore, tmp_path: Path) -> ArtifactStore:
    return store.model_copy(update={"cache": str(tmp_path / "elsewhere")})


def test_a_trained_thing_comes_back_as_the_type_its_user_asks_for(
    store: ArtifactStore, instance: dg.DagsterInstance
) -> None:
    assert materialise(Model("1 2 3"), store, instance) == (True, [Model("1 2 3")])
    assert files(store, "ml", "model") == {"weights.txt": b"1 2 3"}


def test_a_newer_value_replaces_the_old_one_whole(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    materialise(Model("old"), store, instance)
    old = store.folder_of(dg.AssetKey(["ml", "model"]))
    assert old is not None
    (old / "left_over.txt").write_text("of the old one")
    assert materialise(Model("new"), store, instance) == (True, [Model("new")])
    assert files(store, "ml", "model") == {"weights.txt": b"new"}


def test_a_value_that_breaks_while_it_is_written_leaves_the_old_one(
    store: ArtifactStore, instance: dg.DagsterInstance
) -> None:
    materialise(Model("old"), store, instance)
    assert materialise(Model("new", breaks=True), store, instance) == (False, [])
    assert files(store, "ml", "model") == {"weights.txt": b"old"}


def test_a_table_is_kept_as_parquet(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    table = pa.table({"item_id": ["a", "b"], "score": [0.5, None]})
    received: list[pa.Table] = []

    @dg.asset
    def scores() -> pa.Table:
        return table

    @dg.asset
    def used(scores: pa.Table) -> None:
        received.append(scores)

    dg.materialize([scores, used], instance=instance, resources={"io_manager": store})
    assert received == [table]
    assert list(files(store, "scores")) == ["table.parquet"]


def test_what_cannot_store_itself_is_refused_and_never_pickled(
    store: ArtifactStore, instance: dg.DagsterInstance
) -> None:
    assets, _ = graph({"weights": 1})
    with pytest.raises(ContractError, match=r"`save\(folder\)`. Received: dict"):
        dg.materialize(assets, instance=instance, resources={"io_manager": store})


def test_what_was_never_made_says_so(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    assets, _ = graph(Model("x"))
    with pytest.raises(ContractError, match="`ml/model` has not been stored yet"):
        dg.materialize(assets, instance=instance, selection=[assets[1]], resources={"io_manager": store})


def test_an_unannotated_input_says_what_is_missing(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    assets, _ = graph(Model("x"))

    @dg.asset(ins={"model": dg.AssetIn(["ml", "model"])})
    def used(model) -> None:  # type: ignore[no-untyped-def]
        """Forgot the annotation."""

    with pytest.raises(ContractError, match="must annotate it with the stored type"):
        dg.materialize([assets[0], used], instance=instance, resources={"io_manager": store})


@pytest.mark.parametrize("store", ["gcs"], indirect=True)
def test_what_one_machine_stored_another_one_loads(
    store: ArtifactStore, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    materialise(Model("1 2 3"), store, instance)
    assets, received = graph(None)
    elsewhere = on_another_machine(store, tmp_path)
    dg.materialize(assets, instance=instance, selection=[assets[1]], resources={"io_manager": elsewhere})
    assert received == [Model("1 2 3")]


@pytest.mark.parametrize("store", ["gcs"], indirect=True)
def test_what_was_made_here_is_not_downloaded(
    store: ArtifactStore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.storage.series.download_folder", lambda *_: pytest.fail("downloaded"))
    assert materialise(Model("1 2 3"), store, instance) == (True, [Model("1 2 3")])


@pytest.mark.parametrize("store", ["gcs"], indirect=True)
def test_a_damaged_artifact_is_refused(store: ArtifactStore, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    materialise(Model("1 2 3"), store, instance)
    bucket = store_at(store.root)
    [name] = [each.name for each in bucket.list() if each.name.endswith("weights.txt")]
    bucket.write(name, b"1 2 4")
    with pytest.raises(StorageError, match=r"weights\.txt in .* must have sha256"):
        on_another_machine(store, tmp_path).folder_of(dg.AssetKey(["ml", "model"]))


def test_a_bucket_without_a_folder_for_copies_is_refused() -> None:
    with pytest.raises(ContractError, match="no `cache`"):
        ArtifactStore(root="gs://shop/artifacts")._cache(dg.AssetKey("model"))


def test_the_metadata_says_where_it_lies(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    assets, _ = graph(Model("1 2 3"))
    dg.materialize(assets, instance=instance, resources={"io_manager": store})
    event = instance.get_latest_materialization_event(dg.AssetKey(["ml", "model"]))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    assert str(materialization.metadata["path"].value).startswith(f"{store.root}/ml/model")
