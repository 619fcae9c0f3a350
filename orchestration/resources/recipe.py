"""The recipe of this process, as a resource: one file decides every choice of method."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.experiments.recipe import Recipe
from ml.retrieval.cluster import Cluster
from ml.storage import ObjectStore, store_at


class RecipeResource(dg.ConfigurableResource[None]):
    """Where the recipe is read from and where training keeps its checkpoints."""

    path: str | None = Field(default=None, description="YAML file; the default recipe when null.")
    checkpoint_folder: str = Field(description="Checkpoints of towers in training; a killed run goes on from here.")
    checkpoint_store: str | None = Field(
        default=None,
        description="Store that keeps them too, gs://<bucket>/checkpoints: a killed run goes on on another machine.",
    )

    tf_config: str | None = Field(
        default=None, description="TensorFlow's TF_CONFIG: the processes that train together."
    )

    def read(self) -> Recipe:
        return Recipe.read(Path(self.path) if self.path else None)

    @property
    def checkpoints(self) -> Path:
        return Path(self.checkpoint_folder)

    @property
    def shared_checkpoints(self) -> ObjectStore | None:
        return store_at(self.checkpoint_store) if self.checkpoint_store else None

    @property
    def cluster(self) -> Cluster | None:
        return Cluster.of(self.tf_config)
