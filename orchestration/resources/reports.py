"""Pages for people, by name and run."""

from pathlib import Path

import dagster as dg


class ReportFolder(dg.ConfigurableResource[None]):
    """`<home>/reports/<name>/<run>.html`"""

    path: str

    def page(self, name: str, run_id: str) -> Path:
        """Where a run's page goes; its folder is there after this call."""
        folder = Path(self.path) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{run_id}.html"
