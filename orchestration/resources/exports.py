"""Where answers too large for memory leave the warehouse as files."""

import shutil
from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.storage import store_at
from orchestration.resources.warehouse import Warehouse


class ExportArea(dg.ConfigurableResource[None]):
    """A place the warehouse can write to, and a folder of this machine to work on what it wrote."""

    uri: str = Field(description="Folder, or gs://<bucket>/<prefix>, that exports are written under.")
    scratch_folder: str = Field(description="Folder of this machine; nothing in it outlives the next run.")

    def fetch(self, warehouse: Warehouse, sql: str, *, name: str) -> list[Path]:
        """The answer as Parquet files of this machine. Neither place keeps what it held under this name."""
        store, folder = store_at(self.uri).under(name), self.scratch / name
        for left in store.list():
            store.delete(left.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        warehouse.export(sql, store.uri)
        files = [(part.name, folder / part.name) for part in store.list()]
        for part, path in files:
            store.download(part, path)
            store.delete(part)
        return [path for _, path in files]

    @property
    def scratch(self) -> Path:
        return Path(self.scratch_folder)
