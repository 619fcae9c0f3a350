"""The TFRS model: two towers that share the item table, a rating head on top, one loss."""

from typing import Any, NamedTuple

import numpy as np

from ml.contract.events import EVENT_TYPES
from ml.features.tower_inputs import ITEM_ATTRIBUTES, USER_ATTRIBUTES, TowerEncoder
from ml.retrieval.legacy_keras import tf, tfrs
from ml.retrieval.losses import log_loss, sampled_softmax, squared_error
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.towers import (
    CandidateTensors,
    CandidateTower,
    Draws,
    HistoryEncoder,
    QueryTensors,
    QueryTower,
    RatingHead,
    Shape,
    table,
)

NUM_EVENTS = len(EVENT_TYPES) + 1
"""Event codes + 1; 0 is padding."""


class Batch(NamedTuple):
    """One training step's examples `[b, ...]`."""

    query: QueryTensors
    candidate: CandidateTensors
    item_rows: Any
    log_q: Any
    weight: Any
    target: Any
    """Normalised; 0 where unknown."""
    target_known: Any
    """1.0 where known."""
    is_purchase: Any


class MultitaskModel(tfrs.Model):  # type: ignore[misc]  # TensorFlow has no types
    """Query tower, candidate tower, rating head."""

    def __init__(self, encoder: TowerEncoder, settings: RetrieverSettings) -> None:
        super().__init__(name="multitask")
        draws = Draws(settings.seed)
        shape = Shape(settings.tower_layers, settings.embedding_dim, draws)
        items = table(encoder.candidate_sizes[0], shape.dim, draws, name="items")
        history = HistoryEncoder(items, num_events=NUM_EVENTS, history_length=encoder.history_length, shape=shape)
        self.settings = settings
        self.query_tower = QueryTower(encoder.query_sizes, history, shape)
        self.candidate_tower = CandidateTower(encoder.candidate_sizes, items, shape)
        self.rating_head: Any = RatingHead(layers=settings.rating_layers, draws=draws) if settings.rates else None
        self.means = {name: tf.keras.metrics.Mean(name=name) for name in ("retrieval", "rating", "conversion")}
        self._create_weights(encoder.history_length)

    def compute_loss(self, batch: Batch, training: bool = False) -> Any:
        """The weighted sum of the losses the recipe asks for `[]`."""
        settings = self.settings
        batch = self._with_strangers(batch) if training else batch
        query, candidate = self.query_tower(batch.query), self.candidate_tower(batch.candidate)
        loss = tf.constant(0.0)
        if settings.retrieves and settings.retrieval_weight:
            loss += settings.retrieval_weight * self._seen("retrieval", self._retrieval_loss(query, candidate, batch))
        if self.rating_head is not None:
            value, conversion = self.rating_head(query, candidate)
            rating_loss = squared_error(value, batch.target, batch.target_known)
            loss += settings.rating_weight * self._seen("rating", rating_loss)
            loss += settings.conversion_weight * self._seen("conversion", log_loss(conversion, batch.is_purchase))
        return loss

    def _retrieval_loss(self, query: Any, candidate: Any, batch: Batch) -> Any:
        return sampled_softmax(
            query,
            candidate,
            item_rows=batch.item_rows,
            log_q=batch.log_q if self.settings.logq else tf.zeros_like(batch.log_q),
            weights=batch.weight,
            temperature=self.settings.temperature,
        )

    def _with_strangers(self, batch: Batch) -> Batch:
        """Some users and items under index 0, "unknown": so that row learns to serve strangers and new items."""
        user_ids = self._some_unknown(batch.query.ids, self.settings.user_id_dropout, salt=0)
        item_ids = self._some_unknown(batch.candidate.ids, self.settings.item_id_dropout, salt=1)
        return batch._replace(
            query=batch.query._replace(ids=user_ids), candidate=batch.candidate._replace(ids=item_ids)
        )

    def _some_unknown(self, ids: Any, share: float, *, salt: int) -> Any:
        # Stateless, keyed by the step: a resumed run drops what the uninterrupted one would have dropped.
        seed = tf.stack([tf.cast(self.optimizer.iterations, tf.int32), 2 * self.settings.seed + salt])
        kept = tf.random.stateless_uniform(tf.shape(ids)[:1], seed) >= share
        return tf.concat([tf.where(kept, ids[:, 0], 0)[:, None], ids[:, 1:]], axis=1)

    def _seen(self, name: str, loss: Any) -> Any:
        self.means[name].update_state(loss)
        return loss

    def _create_weights(self, history_length: int) -> None:
        """Keras layers make their weights when first called: eagerly, here, so that their order is always the same."""
        nothing = np.zeros((1, history_length), np.int32)
        ids = np.zeros((1, 1 + len(USER_ATTRIBUTES)), np.int32)
        context, numbers = np.zeros((1, 4), np.float32), np.zeros((1, 1), np.float32)
        query = self.query_tower(QueryTensors(ids, nothing, nothing, nothing.astype(np.float32), context))
        item_ids = np.zeros((1, 2 + len(ITEM_ATTRIBUTES)), np.int32)
        candidate = self.candidate_tower(CandidateTensors(item_ids, numbers))
        if self.rating_head is not None:
            self.rating_head(query, candidate)
