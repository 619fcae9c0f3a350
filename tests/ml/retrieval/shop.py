"""The small world as training examples, and how well a retriever does in it."""

import numpy as np

from ml.contract.types import Floats
from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import Window
from ml.dataset.training_data import TrainingData
from ml.features.history import SECONDS_PER_DAY, Histories
from ml.features.tower_inputs import QueryInputs
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.stages import examples_of
from ml.retrieval.trained import TrainedRetriever
from tests import world

SETTINGS = RetrieverSettings(
    embedding_dim=16, factor_dim=8, tower_layers=(16,), history_length=5, epochs=10, batch_size=64, top_k=10
)
CUT = int(world.CUT.timestamp())
TRAIN = Window(CUT - 90 * SECONDS_PER_DAY, CUT - 14 * SECONDS_PER_DAY)


def examples(data: TrainingData, settings: RetrieverSettings = SETTINGS, window: Window = TRAIN) -> RetrievalExamples:
    return examples_of(data, window, settings)


def query_vectors(trained: TrainedRetriever, data: TrainingData, *, at: int = TRAIN.end) -> Floats:
    """Of every user of the shop at an instant."""
    return trained.query_vectors(query_inputs(trained, data, at=at))


def query_inputs(trained: TrainedRetriever, data: TrainingData, *, at: int = TRAIN.end) -> QueryInputs:
    rows = np.arange(data.users_by_row.num_rows, dtype=np.int32)
    return trained.encoder.queries(
        trained.encoder.user_ids(data.users_by_row),
        Histories.of(data.log.before(at), num_users=len(rows)),
        rows,
        np.full(len(rows), at, np.int64),
        item_indexes=trained.encoder.item_indexes(data.items_by_row["item_id"]),
    )


def recall_at(k: int, scores: Floats, data: TrainingData) -> float:
    """Mean over users of the share of the items bought after `TRAIN` that are among the first k."""
    later = data.log.between(TRAIN.end, CUT).of_types([0])
    first = np.argsort(-scores, axis=1)[:, :k]
    bought = {user: set(later.item_rows[later.user_rows == user].tolist()) for user in set(later.user_rows.tolist())}
    return float(np.mean([len(items & set(first[user].tolist())) / len(items) for user, items in bought.items()]))


def popularity_scores(data: TrainingData) -> Floats:
    known = data.log.before(TRAIN.end)
    counts = np.bincount(known.item_rows, minlength=data.items.num_rows).astype(np.float32)
    return np.tile(counts, (data.users.num_rows, 1))
