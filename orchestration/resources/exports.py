"""Where answers too large for memory leave the warehouse as files."""

import shutil
from pathlib import Path
from uuid import uuid4

import dagster as dg
from pydantic import Field

from ml.storage import store_at
from orchestration.resources.warehouse import Warehouse


class ExportArea(dg.ConfigurableResource[None]):
    """A place the warehouse can write to, and a folder of this machine to work on what it wrote."""

    uri: str = Field(description="Folder, or gs://<bucket>/<prefix>, that exports are written under.")
    scratch_folder: str = Field(description="Folder of this machine; nothing in it outlives the next run.")

    def fetch(self, warehouse: Warehouse, sql: str, *, name: str) -> list[Path]:
        """The answer as Parquet files of this machine. The folder here holds nothing else of this name; the place there keeps nothing."""
        # A place of its own: another run may export under the same name at the same time.
        store, folder = store_at(self.uri).under(f"{name}/{uuid4().hex}"), self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            warehouse.export(sql, store.uri)
            files = [(part.name, folder / part.name) for part in store.list()]
            for part, path in files:
                store.download(part, path)
        finally:
            for left in store.list():
                store.delete(left.name)
        return [path for _, path in files]

    @property
    def scratch(self) -> Path:
        return Path(self.scratch_folder)
