"""One trained retriever and its export for all tests of this folder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml.dataset.training_data import TrainingData
from ml.retrieval.trained import TrainedRetriever
from tests import world
from tests.ml.retrieval import shop


@pytest.fixture(scope="session")
def data() -> TrainingData:
    return world.training_data()


@pytest.fixture(scope="session")
def trained(data: TrainingData) -> TrainedRetriever:
    from ml.retrieval.train import train_retriever

    return train_retriever(shop.examples(data), shop.SETTINGS)


@pytest.fixture(scope="session")
def catalogue(data: TrainingData) -> pa.Table:
    """In no order, and with an item that training never saw."""
    new = data.items.slice(0, 1).set_column(0, "item_id", pa.array(["brand-new"]))
    items = pa.concat_tables([data.items, new])
    return items.take(np.random.default_rng(4).permutation(items.num_rows))


@pytest.fixture(scope="session")
def exported(trained: TrainedRetriever, catalogue: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a bundle gets of the retriever. Do not write into it: copy it."""
    from ml.retrieval.export import export_retriever

    folder = tmp_path_factory.mktemp("exported")
    export_retriever(trained, folder, catalogue=catalogue)
    return folder
