"""The TFRS model: two towers that share the item table, a rating head on top, one loss."""

from typing import Any, NamedTuple

import numpy as np

from ml.contract.events import EVENT_TYPES
from ml.features.tower_inputs import ITEM_ATTRIBUTES, USER_ATTRIBUTES, TowerEncoder
from ml.retrieval.legacy_keras import tf, tfrs
from ml.retrieval.losses import log_loss, sampled_softmax, squared_error
from ml.retrieval.replicas import num_replicas, own_rows, summed
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
        self._create_weights(encoder.history_length)

    def train_step(self, batch: Batch) -> dict[str, Any]:
        """Learn from one batch, or from this replica's part of it. The losses of the whole batch, by part and weighted in all."""
        with tf.GradientTape() as tape:
            parts = self.losses_of(self._with_strangers(batch))
            total = self._weighted(parts)
        gradients = tape.gradient(total, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))  # sums them over replicas
        return {name: summed(loss) for name, loss in {**parts, "total": total}.items()}

    def compute_loss(self, batch: Batch, training: bool = False) -> Any:  # noqa: ARG002  # the name TFRS gives it
        """The weighted sum of the losses the recipe asks for `[]`."""
        return self._weighted(self.losses_of(batch))

    def losses_of(self, batch: Batch) -> dict[str, Any]:
        """Each loss the recipe asks for `[]`."""
        query, candidate = self.query_tower(batch.query), self.candidate_tower(batch.candidate)
        losses = {}
        if self.settings.retrieves and self.settings.retrieval_weight:
            losses["retrieval"] = self._retrieval_loss(query, candidate, batch)
        if self.rating_head is not None:
            value, conversion = self.rating_head(query, candidate)
            losses["rating"] = squared_error(value, batch.target, batch.target_known)
            losses["conversion"] = log_loss(conversion, batch.is_purchase)
        return losses

    def _weighted(self, losses: dict[str, Any]) -> Any:
        return tf.add_n([getattr(self.settings, f"{name}_weight") * loss for name, loss in losses.items()])

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
        count = tf.shape(ids)[0]
        # Drawn for the whole batch, so that a part of it loses the same ids wherever it is learned.
        drawn = own_rows(tf.random.stateless_uniform([num_replicas() * count], seed), count)
        kept = drawn >= share
        return tf.concat([tf.where(kept, ids[:, 0], 0)[:, None], ids[:, 1:]], axis=1)

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
