"""Where trained things rest between two assets: one folder per asset, written and read by the thing itself. Nothing is pickled."""

import shutil
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ml.contract.errors import ContractError
from ml.storage import Series, store_at
from ml.storage.objects import is_remote

_TABLE = "table.parquet"


@runtime_checkable
class Storable(Protocol):
    """Anything that can put itself into a folder. What reads it there says how by its own `load(folder)`."""

    def save(self, folder: Path) -> None: ...


class ArtifactStore(dg.ConfigurableIOManager):
    """Keeps the newest value of each asset under `<root>/<asset key>/`: a table as Parquet, anything else by its `save` and `load`.

    In a bucket each value lies there under the hash of its content, beside a pointer to the newest; two runs that store the same
    asset at once are told apart by the pointer's generation, and the later one fails.
    """

    root: str = Field(description="Folder, or gs://<bucket>/<prefix>.")
    cache: str | None = Field(
        default=None,
        description="Folder of this machine's copies, needed for a bucket: loaded things keep paths into it.",
    )

    def folder_of(self, key: dg.AssetKey) -> Path | None:
        """Where the newest value lies on this machine, brought here if need be; None before the first."""
        if is_remote(self.root):
            return self._series(key).fetch(self._cache(key))
        folder = Path(self.root, *key.path)
        return folder if folder.exists() else None

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write beside the old value, then swap: a run that dies while writing leaves the old one."""
        address, size_mb = (self._keep_remotely if is_remote(self.root) else self._keep_here)(context, obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(address), "size_mb": size_mb})

    def load_input(self, context: dg.InputContext) -> Any:
        """The newest value, as the type the parameter is annotated with."""
        folder = self.folder_of(context.asset_key)
        if folder is None:
            raise ContractError(
                f"`{context.asset_key.to_user_string()}` has not been stored yet. Expected: a value under "
                f"{self.root}/{'/'.join(context.asset_key.path)}. Materialise that asset first."
            )
        return _load(folder, context.dagster_type.typing_type, context.asset_key)

    def _keep_here(self, context: dg.OutputContext, obj: Any) -> tuple[str, float]:
        folder = Path(self.root, *context.asset_key.path)
        fresh = folder.with_name(f".{folder.name}.{context.run_id}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _save(obj, fresh, context.asset_key)
        _swap(fresh, folder)
        return str(folder), _size_mb(folder)

    def _keep_remotely(self, context: dg.OutputContext, obj: Any) -> tuple[str, float]:
        series, cache = self._series(context.asset_key), self._cache(context.asset_key)
        fresh = cache / f".{context.run_id}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            _save(obj, fresh, context.asset_key)
            size_mb, state = _size_mb(fresh), series.put(fresh)
            if not (cache / state).exists():
                # Kept, so that the next station need not download what was made on this machine.
                fresh.rename(cache / state)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return f"{series.store.uri}/{state}", size_mb

    def _series(self, key: dg.AssetKey) -> Series:
        return Series(store_at(self.root).under("/".join(key.path)))

    def _cache(self, key: dg.AssetKey) -> Path:
        if self.cache is None:
            raise ContractError(
                f"Artifacts in {self.root} need a folder for this machine's copies. Received: no `cache`."
            )
        return Path(self.cache, *key.path)


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
