"""The TFRS model: two towers that share the item table, a rating head on top, one loss."""

from typing import Any, NamedTuple

import numpy as np

from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.legacy_keras import tf, tfrs
from ml.retrieval.losses import RATING_LOSSES, Candidates, log_loss, sampled_softmax, triplet
from ml.retrieval.replicas import num_replicas, own_rows, summed
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.towers import (
    FACTORS_AT_MOST,
    CandidateTensors,
    CandidateTower,
    Draws,
    Factors,
    HistoryEncoder,
    Preference,
    QueryTensors,
    QueryTower,
    RatingHead,
    Shape,
    table,
)

EVENT_WEIGHTS_BY_INDEX = (1.0, *(EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES))
"""By event code + 1; 0 is padding, which no attention reaches."""


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
    is_click: Any
    negatives: CandidateTensors
    """Further negatives `[m, ...]`, the same in every process; often none."""
    negative_rows: Any
    negative_log_q: Any


class MultitaskModel(tfrs.Model):  # type: ignore[misc]  # TensorFlow has no types
    """Query tower, candidate tower, rating head."""

    def __init__(self, encoder: TowerEncoder, settings: RetrieverSettings) -> None:
        super().__init__(name="multitask")
        draws = Draws(settings.seed)
        factors: Any = None
        if settings.factor_dim:
            factors = Factors(encoder.candidate_sizes[0], settings.factor_dim, settings.factor_weight)
        shape = Shape(settings.tower_layers, settings.embedding_dim, draws, factors)
        items = table(encoder.candidate_sizes[0], shape.dim, draws, name="items")
        history = HistoryEncoder(
            items,
            num_events=len(EVENT_WEIGHTS_BY_INDEX),
            history_length=encoder.history_length,
            shape=shape,
            event_weights=EVENT_WEIGHTS_BY_INDEX if settings.weighted_history else None,
            looks_at_itself=settings.history_encoder == "self_attention",
        )
        self.settings, self.factors = settings, factors
        preference = None
        if vector_sizes := encoder.vector_sizes:
            preference = Preference(encoder.seen_vectors, vector_sizes, event_weights=EVENT_WEIGHTS_BY_INDEX)
        self.query_tower = QueryTower(encoder.query_sizes, history, shape, preference)
        self.candidate_tower = CandidateTower(encoder.candidate_sizes, items, shape, vector_sizes)
        self.rating_head: Any = None
        if settings.rates:
            self.rating_head = RatingHead(
                layers=settings.rating_layers, dim=shape.dim, draws=draws, num_answers=settings.num_answers
            )
        self.log_temperature: Any = None
        if settings.learn_temperature:
            start = tf.keras.initializers.Constant(np.log(settings.temperature))
            self.log_temperature = self.add_weight("log_temperature", (), initializer=start)
        self._create_weights(encoder)

    def train_step(self, batch: Batch) -> dict[str, Any]:
        """Learn from one batch, or from this replica's part of it. The losses of the whole batch, by part and weighted in all."""
        with tf.GradientTape() as tape:
            parts = self.losses_of(self._with_strangers(batch), learning=True)
            total = self._weighted(parts)
        gradients = tape.gradient(total, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))  # sums them over replicas
        return {name: summed(loss) for name, loss in {**parts, "total": total}.items()}

    def compute_loss(self, batch: Batch, training: bool = False) -> Any:  # noqa: ARG002  # the name TFRS gives it
        """The weighted sum of the losses the recipe asks for `[]`."""
        return self._weighted(self.losses_of(batch))

    def losses_of(self, batch: Batch, *, learning: bool = False) -> dict[str, Any]:
        """Each loss the recipe asks for `[]`."""
        query, candidate = self.query_tower(batch.query), self.candidate_tower(batch.candidate)
        if learning:
            query = self._with_softer_factors(query)
        losses = {}
        if self.settings.retrieves and self.settings.retrieval_weight:
            losses["retrieval"] = self._retrieval_loss(query, candidate, batch)
        if self.rating_head is not None:
            value, conversion, *click = self.rating_head(query, candidate)
            losses["rating"] = RATING_LOSSES[self.settings.rating_loss](value, batch.target, batch.target_known)
            losses["conversion"] = log_loss(conversion, batch.is_purchase)
            if click:
                losses["click"] = log_loss(click[0], batch.is_click)
        return losses

    def _weighted(self, losses: dict[str, Any]) -> Any:
        return tf.add_n([getattr(self.settings, f"{name}_weight") * loss for name, loss in losses.items()])

    @property
    def temperature(self) -> Any:
        """What cosines of the learned numbers are divided by; a tensor `[]` where it is learned."""
        return self.settings.temperature if self.log_temperature is None else tf.exp(self.log_temperature)

    @property
    def _learned_part(self) -> float:
        """Length of what is learned in the vector of a query that has factors: as much is left of its cosines in a product."""
        weight = self.settings.factor_weight if self.settings.factor_dim else 0.0
        return float((1 + (weight / FACTORS_AT_MOST) ** 2) ** -0.5)

    def _retrieval_loss(self, query: Any, candidate: Any, batch: Batch) -> Any:
        settings = self.settings
        chosen = Candidates(candidate, batch.item_rows, self._corrected(batch.log_q))
        others = None
        if settings.uniform_negatives or settings.cached_negatives:
            vectors = self.candidate_tower(batch.negatives)
            others = Candidates(vectors, batch.negative_rows, self._corrected(batch.negative_log_q))
        if settings.retrieval_loss == "triplet":
            return triplet(
                query,
                chosen,
                weights=batch.weight,
                margin=settings.margin,
                others=others,
                hardest=settings.hard_negatives,
            )
        return sampled_softmax(
            query,
            chosen,
            weights=batch.weight,
            temperature=self.temperature * self._learned_part,
            others=others,
            refined=settings.logq == "refined",
            hardest=settings.hard_negatives,
        )

    def _corrected(self, log_q: Any) -> Any:
        return tf.zeros_like(log_q) if self.settings.logq == "none" else log_q

    def _with_strangers(self, batch: Batch) -> Batch:
        """Some users and items under index 0, "unknown": so that row learns to serve strangers and new items. Some have no past."""
        query, candidate = batch.query, batch.candidate
        unknown_user = self._drawn(query.ids, self.settings.user_id_dropout, key=2 * self.settings.seed)
        unknown_item = self._drawn(candidate.ids, self.settings.item_id_dropout, key=2 * self.settings.seed + 1)
        query = query._replace(ids=_without_id(query.ids, unknown_user))
        if self.settings.history_dropout:
            nothing_yet = self._drawn(query.ids, self.settings.history_dropout, key=-1 - self.settings.seed)[:, None]
            query = query._replace(history_events=tf.where(nothing_yet, 0, query.history_events))
        return batch._replace(query=query, candidate=candidate._replace(ids=_without_id(candidate.ids, unknown_item)))

    def _with_softer_factors(self, query: Any) -> Any:
        """Factors are fitted to the very examples and look better there than they are: they count less while the rest is learned.

        Some queries have none, or what is learned would say no more than what factors cannot: a new item has none. In a shop of four tastes
        a new item's product with who shares its taste was .004 ahead of that with others, instead of .55.
        """
        settings = self.settings
        if not settings.factor_dim:
            return query
        hidden = self._drawn(query, settings.factor_dropout, key=-2 - settings.seed)[:, None]
        learned = tf.range(settings.tower_dim)[None, :] < settings.embedding_dim
        return tf.where(learned, 1.0, tf.where(hidden, 0.0, settings.factor_training_share)) * query

    def _drawn(self, rows: Any, share: float, *, key: int) -> Any:
        """A mask of a share of the rows `[b]`."""
        # Stateless, keyed by the step: a resumed run drops what the uninterrupted one would have dropped.
        seed = tf.stack([tf.cast(self.optimizer.iterations, tf.int32), key])
        count = tf.shape(rows)[0]
        # Drawn for the whole batch, so that a part of it loses the same ones wherever it is learned.
        return own_rows(tf.random.stateless_uniform([num_replicas() * count], seed), count) < share

    def _create_weights(self, encoder: TowerEncoder) -> None:
        """Keras layers make their weights when first called: eagerly, here, so that their order is always the same."""
        nothing = np.zeros((1, encoder.history_length), np.int32)
        ids = np.zeros((1, len(encoder.query_sizes)), np.int32)
        context, numbers = np.zeros((1, 4), np.float32), np.zeros((1, 1 + sum(encoder.vector_sizes)), np.float32)
        query = self.query_tower(QueryTensors(ids, nothing, nothing, nothing.astype(np.float32), context))
        item_ids = np.zeros((1, len(encoder.candidate_sizes)), np.int32)
        candidate = self.candidate_tower(CandidateTensors(item_ids, numbers))
        if self.rating_head is not None:
            self.rating_head(query, candidate)


def _without_id(ids: Any, unknown: Any) -> Any:
    """`ids` with index 0 in the first column where `unknown`."""
    return tf.concat([tf.where(unknown, 0, ids[:, 0])[:, None], ids[:, 1:]], axis=1)
