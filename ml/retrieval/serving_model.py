"""The SavedModel: plain named tensors in, the catalogue's own ids out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ml.contract.events import EVENT_TYPES
from ml.features.history import SECONDS_PER_DAY
from ml.features.tower_inputs import ITEM_ATTRIBUTES, USER_ATTRIBUTES, CandidateInputs
from ml.retrieval.legacy_keras import tf
from ml.retrieval.towers import QueryTensors
from ml.retrieval.trained import TrainedRetriever
from ml.runtime.towers import HeadPredictions

RETRIEVAL_SIGNATURE = "serving_default"
RANKING_SIGNATURE = "serve_ranking"


def write_saved_model(trained: TrainedRetriever, folder: Path, *, catalogue: pa.Table) -> None:
    """Both signatures over the whole catalogue; `serve_ranking` only when the model has a rating head."""
    serving = ServingModel(trained, catalogue)
    query = serving.query_specs()
    signatures = {RETRIEVAL_SIGNATURE: tf.function(serving.retrieve, input_signature=query)}
    if trained.target is not None:
        product_ids = tf.TensorSpec([None, None], tf.string, "product_ids")
        signatures[RANKING_SIGNATURE] = tf.function(serving.rank, input_signature=[*query, product_ids])
    tf.saved_model.save(serving, str(folder), signatures=signatures)


class ServingModel(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Vocabularies, towers and item vectors in one graph."""

    def __init__(self, trained: TrainedRetriever, catalogue: pa.Table) -> None:
        super().__init__(name="aisle_retriever")
        encoder = trained.encoder
        ids = catalogue["item_id"].to_pylist()
        nothing = np.zeros((1, 1 + sum(encoder.vector_sizes)), np.float32)
        unknown = CandidateInputs(np.zeros((1, 2 + len(ITEM_ATTRIBUTES)), np.int32), nothing)
        vectors = np.concatenate([trained.item_vectors(catalogue), trained.candidate_vectors(unknown)])
        # tf.saved_model traces every Keras layer it can reach; a plain dataclass hides them, and `learned` keeps their weights.
        self._trained = trained
        self.learned = list(trained.model.weights)
        self.product_ids = tf.constant(ids, tf.string, shape=(len(ids),))
        self.vectors = tf.Variable(vectors, trainable=False, name="item_vectors")
        self.top_k = min(trained.settings.top_k, len(ids))
        self.history_length = encoder.history_length
        self.users = [_lookup(table.ids.to_pylist()) for table in (encoder.users, *encoder.user_attributes.values())]
        self.items = _lookup(encoder.items.ids.to_pylist())
        self.events = _lookup([str(event_type) for event_type in EVENT_TYPES])
        self.catalogue_rows = _lookup(ids, first=0, unknown=len(ids))

    def query_specs(self) -> list[Any]:
        """What is asked of a client about the moment: who, what they did last, when it is. Nothing about candidates."""
        history = [None, self.history_length]
        return [
            *(tf.TensorSpec([None], tf.string, name) for name in ("user_id", *USER_ATTRIBUTES)),
            tf.TensorSpec(history, tf.string, "history_item_ids"),
            tf.TensorSpec(history, tf.string, "history_event_types"),
            tf.TensorSpec(history, tf.float32, "history_age_days"),
            tf.TensorSpec([None], tf.int64, "requested_at"),
        ]

    def retrieve(self, *query: Any) -> dict[str, Any]:
        """The `top_k` items of the whole catalogue, best first. `product_ids`, `scores` `[b, top_k]`."""
        scores = tf.matmul(self._query_vectors(*query), self.vectors[:-1], transpose_b=True)
        best, rows = tf.math.top_k(scores, self.top_k)
        return {"product_ids": tf.gather(self.product_ids, rows), "scores": best}

    def rank(self, *query_and_products: Any) -> dict[str, Any]:
        """Predictions for the given products `[b, m]`; one outside the catalogue is rated as an item nothing is known of."""
        *query, product_ids = query_and_products
        candidates = tf.gather(self.vectors, self.catalogue_rows.lookup(product_ids))
        found = predictions(self._trained, self._query_vectors(*query)[:, None, :], candidates)
        return {
            "predictions": found.value,
            "predictions_normalized": found.value_normalized,
            "conversion": found.conversion,
        }

    def _query_vectors(self, *query: Any) -> Any:
        *who, item_ids, event_types, age_days, requested_at = query
        events = self.events.lookup(event_types)
        inputs = QueryTensors(
            ids=tf.stack([lookup.lookup(value) for lookup, value in zip(self.users, who, strict=True)], axis=1),
            history_items=tf.where(events > 0, self.items.lookup(item_ids), 0),
            history_events=events,
            history_ages=tf.where(events > 0, tf.math.log1p(tf.maximum(age_days, 0.0)), 0.0),
            context=_cyclical_time(requested_at),
        )
        return self._trained.model.query_tower(inputs)


def predictions(trained: TrainedRetriever, query: Any, candidates: Any) -> HeadPredictions:
    """The rating head's answers as tensors, in original units too; leading axes broadcast."""
    target = trained.target
    assert target is not None
    answer, logit = trained.model.rating_head(query, candidates)
    normalised = answer * target.slope + target.intercept
    if target.squashed:
        normalised = tf.math.sigmoid(normalised)
    value = tf.math.exp(normalised * target.scale + target.mean) - 1.0  # as Exp and Sub: ONNX has no Expm1
    return HeadPredictions(value, normalised, tf.math.sigmoid(logit))


def _lookup(ids: Sequence[str], *, first: int = 1, unknown: int = 0) -> Any:
    """Id to index, as a table inside the graph."""
    # TensorFlow refuses an empty table; an attribute no user has still needs one that answers "unknown".
    entries = {value: first + place for place, value in enumerate(ids)} or {"": unknown}
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(entries), tf.string), tf.constant(list(entries.values()), tf.int32)
    )
    return tf.lookup.StaticHashTable(initializer, default_value=unknown)


def _cyclical_time(at: Any) -> Any:
    """`ml.features.transforms.cyclical_time` in the graph; a test holds the two together."""
    days = tf.cast(at, tf.float64) / SECONDS_PER_DAY
    angles = [2 * np.pi * (days % 1.0), 2 * np.pi * (((days + 3) % 7.0) / 7.0)]
    columns = [function(angle) for angle in angles for function in (tf.sin, tf.cos)]
    return tf.cast(tf.stack(columns, axis=1), tf.float32)
