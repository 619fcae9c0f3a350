"""The two towers and the rating head. Pure: no dropout, no randomness; what is learned is what is exported."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ml.contract.types import Floats, Halves
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.legacy_keras import tf

ATTRIBUTE_DIM = 16
EMBEDDING_SCALE = 0.05
ATTENTION_FLOOR = -1e9
FACTORS_AT_MOST = 0.5**0.5
"""Length of the longest factors of an item: even the most popular one keeps as much of its vector for what is learned."""


class QueryTensors(NamedTuple):
    """`QueryInputs` as tensors, same names and shapes."""

    ids: Any
    history_items: Any
    history_events: Any
    history_ages: Any
    context: Any


class CandidateTensors(NamedTuple):
    """`CandidateInputs` as tensors, same names and shapes."""

    ids: Any
    numbers: Any


def query_specs(encoder: TowerEncoder) -> list[Any]:
    """Names, types and shapes of `QueryTensors`; any number of moments."""
    history = [None, encoder.history_length]
    return [
        tf.TensorSpec([None, len(encoder.query_sizes)], tf.int32, "ids"),
        tf.TensorSpec(history, tf.int32, "history_items"),
        tf.TensorSpec(history, tf.int32, "history_events"),
        tf.TensorSpec(history, tf.float32, "history_ages"),
        tf.TensorSpec([None, 4], tf.float32, "context"),
    ]


def candidate_specs(encoder: TowerEncoder) -> list[Any]:
    """Of `CandidateTensors`; any number of items."""
    return [
        tf.TensorSpec([None, len(encoder.candidate_sizes)], tf.int32, "ids"),
        tf.TensorSpec([None, 1 + sum(encoder.vector_sizes)], tf.float32, "numbers"),
    ]


def rating_specs(dim: int) -> list[Any]:
    """Of the rating head's inputs: pairs `[m, d], [m, d]`, or one query with m candidates `[1, d], [m, d]`."""
    return [tf.TensorSpec([None, dim], tf.float32, name) for name in ("query", "candidates")]


class Draws:
    """Initial weights from one seed, in the order they are asked for: TensorFlow's global seed is nobody's to set."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def normal(self, shape: Any, dtype: Any = None, **_: Any) -> Floats:  # noqa: ARG002  # the signature of an initializer
        return self._rng.normal(0.0, EMBEDDING_SCALE, tuple(shape)).astype(np.float32)

    def glorot(self, shape: Any, dtype: Any = None, **_: Any) -> Floats:  # noqa: ARG002
        limit = np.sqrt(6.0 / (shape[0] + shape[1]))
        return self._rng.uniform(-limit, limit, tuple(shape)).astype(np.float32)


class Shape(NamedTuple):
    """What both towers have in common."""

    layers: Sequence[int]
    dim: int
    draws: Draws
    factors: "Factors | None"


class Factors(tf.keras.layers.Layer):  # type: ignore[misc]  # TensorFlow has no types
    """What towers know of items and do not learn: `dim` factors each, and how much an item says of who chose it.

    The product of a query's and a candidate's is an ideal low-pass filter on the graph of users and items, as in `ml.runtime.factors`.
    It counts `weight` times as much as the cosine of what is learned.
    """

    def __init__(self, size: int, dim: int, weight: float) -> None:
        super().__init__(name="factors")
        self.weight = weight
        self.table = tf.keras.layers.Embedding(
            size, dim + 1, embeddings_initializer="zeros", trainable=False, name="item_factors"
        )

    def beside_candidate(self, learned: Any, items: Any) -> Any:
        """`[b, d], [b] -> [b, d + dim]` of length 1: factors are as long as `FACTORS_AT_MOST`, what is learned has the rest."""
        factors = self.table(items)[:, :-1] * FACTORS_AT_MOST
        rest = tf.sqrt(1 - tf.reduce_sum(tf.square(factors), axis=1, keepdims=True))
        return tf.concat([rest * learned, factors], axis=1)

    def beside_query(self, learned: Any, items: Any, attention: Any) -> Any:
        """`[b, d], [b, N] x 2 -> [b, d + dim]` of length 1; no factors where no item of the history has any."""
        known = self.table(items)
        # The root: factors say most when they hear of all the history, and attention is after a few events of it. It learns for the
        # learned part alone: factors know the examples they are fitted to, and would teach it to look where the answer was.
        said = tf.sqrt(tf.stop_gradient(attention)) * known[..., -1]
        interest = tf.math.l2_normalize(tf.matmul(said[:, None, :], known[..., :-1])[:, 0], axis=1)
        return tf.math.l2_normalize(tf.concat([learned, self.weight / FACTORS_AT_MOST * interest], axis=1), axis=1)


class HistoryEncoder(tf.keras.layers.Layer):  # type: ignore[misc]  # TensorFlow has no types
    """One vector of the last N events: attention by place in the row, kind of event, age and content."""

    def __init__(
        self,
        item_table: Any,
        *,
        num_events: int,
        history_length: int,
        shape: Shape,
        event_weights: Sequence[float] | None = None,
        looks_at_itself: bool = False,
    ) -> None:
        """Of the kinds of event's weights, if given, attention starts as their size says, and dislike counts against its item."""
        super().__init__(name="history")
        self.num_events = num_events
        self.item_table = item_table
        weights = np.ones(num_events) if event_weights is None else np.asarray(event_weights)
        self.event_vectors = self.add_weight(
            "event_vectors", (self.num_events, shape.dim), initializer=shape.draws.normal
        )
        self.event_scores = self.add_weight(
            "event_scores", (self.num_events, 1), initializer=_values(np.log(np.abs(weights)))
        )
        self.event_signs: Any = None
        if event_weights is not None:
            self.event_signs = self.add_weight(
                "event_signs", (num_events, 1), initializer=_values(np.sign(event_weights))
            )
        self.place_scores = self.add_weight("place_scores", (history_length,), initializer="zeros")
        self.age_score = self.add_weight("age_score", (), initializer=tf.keras.initializers.Constant(-0.5))
        self.content_score = dense(1, shape.draws, use_bias=False, name="content_score")
        self.looks: Any = SelfAttention(history_length=history_length, shape=shape) if looks_at_itself else None

    def call(self, items: Any, events: Any, ages: Any) -> tuple[Any, Any]:
        """`[b, N] x 3 -> [b, d], [b, N]`: zeros where nothing happened, and the shares of the events.

        An event of 0 is padding, an item of 0 one we do not know.
        """
        happened = events > 0
        # One-hot, not a lookup: the gradient of a lookup would be b x N rows, to be added up into ten.
        kinds = tf.one_hot(events, self.num_events)
        content = self.item_table(items)
        shares = self._attention(content, kinds, ages, happened=happened)
        attention = shares[:, None, :]
        if self.event_signs is not None:
            content *= tf.matmul(kinds, self.event_signs)
        if self.looks is not None:
            content = self.looks(content, tf.matmul(kinds, self.event_vectors), ages, happened)
        vector = tf.matmul(attention, content)[:, 0] + tf.matmul(tf.matmul(attention, kinds)[:, 0], self.event_vectors)
        return vector, shares

    def _attention(self, content: Any, kinds: Any, ages: Any, *, happened: Any) -> Any:
        """Shares of the events, `[b, N]`; they sum to 1, or to 0 where nothing happened."""
        of_kind, of_content = tf.matmul(kinds, self.event_scores)[..., 0], self.content_score(content)[..., 0]
        scores = self.place_scores + self.age_score * ages + of_kind + of_content
        return tf.nn.softmax(tf.where(happened, scores, ATTENTION_FLOOR), axis=1) * tf.cast(happened, tf.float32)


class SelfAttention(tf.keras.layers.Layer):  # type: ignore[misc]
    """Events that have looked at each other: one block of a transformer. Untrained it changes nothing."""

    def __init__(self, *, history_length: int, shape: Shape) -> None:
        super().__init__(name="self_attention")
        self.places = self.add_weight("places", (history_length, shape.dim), initializer=shape.draws.normal)
        self.age = self.add_weight("age", (shape.dim,), initializer="zeros")
        self.norms = [tf.keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(2)]
        self.query, self.key, self.value = (
            dense(shape.dim, shape.draws, use_bias=False, name=name) for name in ("query", "key", "value")
        )
        self.hidden = dense(shape.dim, shape.draws, activation="relu", name="hidden")
        self.outs = [
            tf.keras.layers.Dense(shape.dim, use_bias=False, kernel_initializer="zeros", name=f"out_{i}")
            for i in range(2)
        ]

    def call(self, content: Any, kinds: Any, ages: Any, happened: Any) -> Any:
        """`[b, N, d] x 2, [b, N] x 2 -> [b, N, d]`."""
        seen = self.norms[0](content + kinds + self.places + ages[..., None] * self.age)
        alike = tf.matmul(self.query(seen), self.key(seen), transpose_b=True) / np.sqrt(content.shape[-1])
        shares = tf.nn.softmax(tf.where(happened[:, None, :], alike, ATTENTION_FLOOR), axis=-1)
        content += self.outs[0](tf.matmul(shares, self.value(seen)))
        return content + self.outs[1](self.hidden(self.norms[1](content)))


class GivenVectors(tf.keras.layers.Layer):  # type: ignore[misc]
    """What is made of the vectors a shop has of its items: a dense projection of each column. Untrained it changes nothing."""

    def __init__(self, sizes: Sequence[int], shape: Shape) -> None:
        """Of `CandidateInputs.numbers` without the price."""
        super().__init__(name="given_vectors")
        self.sizes = list(sizes)
        self.projections = [
            # The first number says that there is a vector, so that none at all is told from one in the middle.
            tf.keras.layers.Dense(shape.dim, use_bias=False, kernel_initializer="zeros", name=f"projection_{i}")
            for i in range(len(sizes))
        ]

    def call(self, seen: Any) -> Any:
        """`[n, vectors] -> [n, d]`"""
        parts = zip(self.projections, tf.split(seen, self.sizes, axis=1), strict=True)
        return tf.add_n([project(part) for project, part in parts])


class Preference(tf.keras.layers.Layer):  # type: ignore[misc]
    """The mean vector of what the last N events liked, of each vector column; zeros where they liked nothing with a vector."""

    def __init__(self, seen_vectors: Halves, sizes: Sequence[int], *, event_weights: Sequence[float]) -> None:
        """Of the vectors by embedding index, and the weight of each kind of event."""
        super().__init__(name="preference")
        self.sizes = list(sizes)
        values = tf.keras.initializers.Constant(np.asarray(seen_vectors, np.float32))
        self.item_vectors = tf.keras.layers.Embedding(
            *seen_vectors.shape, embeddings_initializer=values, trainable=False, name="item_vectors"
        )
        self.likes = np.asarray([0.0, *(np.asarray(event_weights[1:]) > 0)], np.float32)

    def call(self, items: Any, events: Any) -> Any:
        """`[b, N] x 2 -> [b, vectors]`; laid out as what it is the mean of."""
        liked = tf.tensordot(tf.one_hot(events, len(self.likes)), self.likes, 1)
        summed = tf.matmul(liked[:, None, :], self.item_vectors(items))[:, 0]
        # The first number of each part counts the liked items that have a vector.
        parts = tf.split(summed, self.sizes, axis=1)
        return tf.concat([part / tf.maximum(part[:, :1], 1.0) for part in parts], axis=1)


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A moment of a user to a unit vector."""

    def __init__(
        self, sizes: Sequence[int], history: HistoryEncoder, shape: Shape, preference: Preference | None = None
    ) -> None:
        super().__init__(name="query_tower")
        self.user_table = table(sizes[0], shape.dim, shape.draws, name="users")
        self.attributes = attribute_tables(sizes[1:], shape.draws)
        self.history = history
        self.interest = tf.keras.layers.Dense(shape.dim, use_bias=False, kernel_initializer="identity", name="interest")
        self.mlp = mlp(shape)
        self.preference: Any = preference
        self.vectors: Any = GivenVectors(preference.sizes, shape) if preference is not None else None
        self.factors = shape.factors

    def call(self, inputs: QueryTensors) -> Any:
        user = self.user_table(inputs.ids[:, 0])
        attributes = [look(inputs.ids[:, i]) for i, look in enumerate(self.attributes, start=1)]
        interest, shares = self.history(inputs.history_items, inputs.history_events, inputs.history_ages)
        liked = [self.vectors(self.preference(inputs.history_items, inputs.history_events))] if self.vectors else []
        mixed = self.mlp(tf.concat([user, interest, *liked, *attributes, inputs.context], axis=1))
        learned = tf.math.l2_normalize(tf.add_n([user, self.interest(interest), *liked, mixed]), axis=1)
        if self.factors is None:
            return learned
        return self.factors.beside_query(learned, inputs.history_items, shares)


class CandidateTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """An item to a unit vector."""

    def __init__(self, sizes: Sequence[int], item_table: Any, shape: Shape, vector_sizes: Sequence[int] = ()) -> None:
        super().__init__(name="candidate_tower")
        self.item_table = item_table
        self.attributes = attribute_tables(sizes[1:], shape.draws)
        self.mlp = mlp(shape)
        self.vectors: Any = GivenVectors(vector_sizes, shape) if vector_sizes else None
        self.factors = shape.factors

    def call(self, inputs: CandidateTensors) -> Any:
        item = self.item_table(inputs.ids[:, 0])
        attributes = [look(inputs.ids[:, i]) for i, look in enumerate(self.attributes, start=1)]
        described = [self.vectors(inputs.numbers[:, 1:])] if self.vectors else []
        mixed = self.mlp(tf.concat([item, *described, *attributes, inputs.numbers[:, :1]], axis=1))
        learned = tf.math.l2_normalize(tf.add_n([item, *described, mixed]), axis=1)
        if self.factors is None:
            return learned
        return self.factors.beside_candidate(learned, inputs.ids[:, 0])


class RatingHead(tf.keras.layers.Layer):  # type: ignore[misc]
    """Value, conversion and, where it is asked for, click of pairs, from query, candidate and their product."""

    def __init__(self, *, layers: Sequence[int], dim: int, draws: Draws, num_answers: int = 2) -> None:
        super().__init__(name="rating_head")
        self.dim = dim
        # One dense layer over [query, candidate, product], as three: one query with m candidates is then multiplied once, not m times.
        self.of_query = dense(layers[0], draws, name="of_query")
        self.of_candidate = dense(layers[0], draws, use_bias=False, name="of_candidate")
        self.of_product = dense(layers[0], draws, use_bias=False, name="of_product")
        self.hidden = hidden_layers(layers[1:], draws)
        self.num_answers = num_answers
        self.answers = dense(num_answers, draws, name="answers")

    def call(self, query: Any, candidates: Any) -> tuple[Any, ...]:
        """Normalised value, conversion logit and, of three answers, click logit `[...]` of `[..., d]`; the leading axes broadcast.

        Reads the learned numbers alone: what a factor means changes whenever factors are made anew.
        """
        query, candidates = query[..., : self.dim], candidates[..., : self.dim]
        x = tf.nn.relu(self.of_query(query) + self.of_candidate(candidates) + self.of_product(query * candidates))
        for layer in self.hidden:
            x = layer(x)
        answers = self.answers(x)
        return tuple(answers[..., place] for place in range(self.num_answers))


def _values(values: Any) -> Any:
    """An initializer that gives these values, one per row."""
    return lambda shape, dtype=None, **_: np.asarray(values, np.float32).reshape(tuple(shape))  # noqa: ARG005


def table(size: int, dim: int, draws: Draws, *, name: str) -> Any:
    """An embedding table `[size, dim]`."""
    return tf.keras.layers.Embedding(size, dim, embeddings_initializer=draws.normal, name=name)


def attribute_tables(sizes: Sequence[int], draws: Draws) -> list[Any]:
    return [table(size, ATTRIBUTE_DIM, draws, name=f"attribute_{i}") for i, size in enumerate(sizes)]


def dense(width: int, draws: Draws, **options: Any) -> Any:
    return tf.keras.layers.Dense(width, kernel_initializer=draws.glorot, **options)


def mlp(shape: Shape) -> Any:
    """Dense layers with ReLU, then one without."""
    return tf.keras.Sequential(
        [*hidden_layers(shape.layers, shape.draws), dense(shape.dim, shape.draws, name="out")], name="mlp"
    )


def hidden_layers(widths: Sequence[int], draws: Draws) -> list[Any]:
    """Named, or Keras would number them by how many models the process has made before."""
    return [dense(width, draws, activation="relu", name=f"hidden_{i}") for i, width in enumerate(widths)]
