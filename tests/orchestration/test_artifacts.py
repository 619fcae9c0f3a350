from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from ml.contract.errors import ContractError
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


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=str(tmp_path / "artifacts"))


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


def files(store: ArtifactStore) -> Iterator[str]:
    return (path.relative_to(store.root).as_posix() for path in Path(store.root).rglob("*") if path.is_file())


def test_a_trained_thing_comes_back_as_the_type_its_user_asks_for(
    store: ArtifactStore, instance: dg.DagsterInstance
) -> None:
    assert materialise(Model("1 2 3"), store, instance) == (True, [Model("1 2 3")])
    assert sorted(files(store)) == ["ml/model/weights.txt"]


def test_a_newer_value_replaces_the_old_one_whole(store: ArtifactStore, instance: dg.DagsterInstance) -> None:
    materialise(Model("old"), store, instance)
    (store.folder_of(dg.AssetKey(["ml", "model"])) / "left_over.txt").write_text("of the old one")
    assert materialise(Model("new"), store, instance) == (True, [Model("new")])
    assert sorted(files(store)) == ["ml/model/weights.txt"]


def test_a_value_that_breaks_while_it_is_written_leaves_the_old_one(
    store: ArtifactStore, instance: dg.DagsterInstance
) -> None:
    materialise(Model("old"), store, instance)
    assert materialise(Model("new", breaks=True), store, instance) == (False, [])
    assert (store.folder_of(dg.AssetKey(["ml", "model"])) / "weights.txt").read_text() == "old"


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
    assert list(files(store)) == ["scores/table.parquet"]


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
