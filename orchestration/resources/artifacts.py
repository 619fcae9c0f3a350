"""Where trained things rest between two assets: one folder per asset, written and read by the thing itself. Nothing is pickled."""

import shutil
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from ml.contract.errors import ContractError

_TABLE = "table.parquet"


@runtime_checkable
class Storable(Protocol):
    """Anything that can put itself into a folder. What reads it there says how by its own `load(folder)`."""

    def save(self, folder: Path) -> None: ...


class ArtifactStore(dg.ConfigurableIOManager):
    """Keeps the newest value of each asset under `<root>/<asset key>/`: a table as Parquet, anything else by its `save` and `load`."""

    root: str

    def folder_of(self, key: dg.AssetKey) -> Path:
        return Path(self.root, *key.path)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write beside the old value, then swap: a run that dies while writing leaves the old one."""
        folder = self.folder_of(context.asset_key)
        fresh = folder.with_name(f".{folder.name}.{context.run_id}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _save(obj, fresh, context.asset_key)
        _swap(fresh, folder)
        context.add_output_metadata({"path": dg.MetadataValue.path(str(folder)), "size_mb": _size_mb(folder)})

    def load_input(self, context: dg.InputContext) -> Any:
        """The newest value, as the type the parameter is annotated with."""
        folder = self.folder_of(context.asset_key)
        if not folder.exists():
            raise ContractError(
                f"`{context.asset_key.to_user_string()}` has not been stored yet. Expected: the folder {folder}. "
                "Materialise that asset first."
            )
        return _load(folder, context.dagster_type.typing_type, context.asset_key)


def _save(obj: Any, folder: Path, key: dg.AssetKey) -> None:
    match obj:
        case pa.Table():
            pq.write_table(obj, folder / _TABLE)
        case Storable():
            obj.save(folder)
        case _:
            raise ContractError(
                f"`{key.to_user_string()}` must return an Arrow table or something with `save(folder)`. "
                f"Received: {type(obj).__name__}."
            )


def _load(folder: Path, kind: Any, key: dg.AssetKey) -> Any:
    if kind is pa.Table:
        return pq.read_table(folder / _TABLE)
    if isinstance(kind, type) and hasattr(kind, "load"):
        return kind.load(folder)
    raise ContractError(
        f"An asset that takes `{key.to_user_string()}` must annotate it with the stored type, one with `load(folder)`. "
        f"Received: {kind}."
    )


def _swap(fresh: Path, folder: Path) -> None:
    old = fresh.with_name(f"{fresh.name}.old")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _size_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 3)
