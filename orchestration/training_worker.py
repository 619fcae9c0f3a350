"""A process that helps train the towers: `python -m orchestration.training_worker`, with the chief's settings and its own TF_CONFIG.

The chief is the process that materialises `ml/retriever` under a TF_CONFIG of the same workers, at index 0. A worker reads the
chief's snapshot and recipe, learns from its part of every batch and keeps nothing. Start it once `ml/training_examples` is there;
it ends with the training. When one of them dies, all end: start them again and the chief's checkpoint is where they go on.
"""

import dagster as dg

from ml.contract.errors import PlatformError
from ml.contract.files import own_folder
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.retrieval.stages import train_stages
from orchestration.resources import resources_for
from orchestration.resources.artifacts import ArtifactStore
from orchestration.resources.exports import ExportArea
from orchestration.resources.recipe import RecipeResource
from orchestration.settings import PlatformSettings

SNAPSHOT = dg.AssetKey(["ml", "training_examples"])


def train_along(artifacts: ArtifactStore, recipe: RecipeResource, exports: ExportArea) -> None:
    """Take part in one training of the towers.

    Raises:
        PlatformError: TF_CONFIG does not make this process a worker, or there is no snapshot yet.
    """
    cluster, folder = recipe.cluster, artifacts.folder_of(SNAPSHOT)
    if cluster is None or cluster.is_chief:
        raise PlatformError(
            "A worker needs a TF_CONFIG of several workers and an index above 0; index 0 is the run that trains. "
            f"Received: {recipe.tf_config}."
        )
    if folder is None:
        raise PlatformError(
            f"A worker needs `ml/training_examples` under {artifacts.root}. Received: none. Materialise it first."
        )
    data, chosen = TrainingData.load(folder), recipe.read()
    split = TimeSplit.at(data.cut_at, chosen.split, since=data.start_at)
    with own_folder(exports.scratch / "examples") as scratch:
        train_stages(data, split, chosen.retriever, scratch=scratch, cluster=cluster)


if __name__ == "__main__":
    found = resources_for(PlatformSettings())
    train_along(found["io_manager"], found["recipe"], found["exports"])
