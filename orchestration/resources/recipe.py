"""The recipe of this process, as a resource: one file decides every choice of method."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.experiments.recipe import Recipe


class RecipeResource(dg.ConfigurableResource[None]):
    """Where the recipe is read from and where training keeps its checkpoints."""

    path: str | None = Field(default=None, description="YAML file; the default recipe when null.")
    checkpoint_folder: str = Field(description="Checkpoints of towers in training; a killed run goes on from here.")

    def read(self) -> Recipe:
        return Recipe.read(Path(self.path) if self.path else None)

    @property
    def checkpoints(self) -> Path:
        return Path(self.checkpoint_folder)
