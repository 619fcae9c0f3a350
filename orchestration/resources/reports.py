"""Pages for people, by name and run."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.storage import store_at
from ml.storage.objects import GCS_SCHEME, is_remote

CONSOLE = "https://storage.cloud.google.com/"
"""Opens an object in the browser of whoever is signed in and may read it."""


class ReportFolder(dg.ConfigurableResource[None]):
    """`<home>/reports/<name>/<run>.html`, and the same name below `remote`."""

    path: str
    remote: str | None = Field(
        default=None, description="Store where pages are kept for all, gs://<bucket>/reports; else only the folder."
    )

    def page(self, name: str, run_id: str) -> Path:
        """Where a run's page goes; its folder is there after this call."""
        folder = Path(self.path) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{run_id}.html"

    def shown(self, page: Path) -> dg.MetadataValue:
        """Where people find a page that was written, once it is there."""
        if self.remote is None:
            return dg.MetadataValue.path(str(page.absolute()))
        name = page.relative_to(self.path).as_posix()
        store_at(self.remote).upload(page, name)
        address = f"{self.remote.rstrip('/')}/{name}"
        if not is_remote(address):
            return dg.MetadataValue.path(address)
        return dg.MetadataValue.url(CONSOLE + address.removeprefix(GCS_SCHEME))
