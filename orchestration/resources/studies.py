"""Where searches over recipes are kept."""

from pathlib import Path

import dagster as dg


class StudyFolder(dg.ConfigurableResource[None]):
    """`<home>/studies/<study>/`: an Optuna study, and the best recipe it has found."""

    path: str

    def of(self, study: str) -> Path:
        return Path(self.path) / study
