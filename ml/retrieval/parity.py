"""Whether the two exported forms of a retriever say the same."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.events import EVENT_TYPES
from ml.contract.types import Floats
from ml.features.history import SECONDS_PER_DAY, History
from ml.features.tower_inputs import USER_ATTRIBUTES, CandidateInputs, QueryInputs, TowerEncoder
from ml.features.transforms import cyclical_time
from ml.features.vocabulary import Vocabulary
from ml.retrieval.export import CATALOGUE, SAVED_MODEL, SEEN
from ml.retrieval.trained import VOCABULARIES
from ml.runtime.towers import HeadPredictions, OnnxTowers

Strings = NDArray[np.str_]
FIRST_INSTANT, LAST_INSTANT = 1_600_000_000, 1_900_000_000
NUM_CANDIDATES = 20


def largest_difference(folder: Path, *, num_requests: int = 32, seed: int = 0) -> float:
    """Largest difference of any score or prediction between the SavedModel, the ONNX graphs and what is compiled of them, in an export or a bundle.

    Over drawn requests: known users and strangers, empty and full histories, known and unknown items. Values in original
    units are compared relative to their size (where above 1), all else absolutely.
    """
    requests = DrawnRequests.draw(folder, num_requests=num_requests, seed=seed)
    parts = (_retrieval_difference, _ranking_difference, compiled_difference)
    return max(part(folder, requests) for part in parts)


@dataclass(frozen=True)
class DrawnRequests:
    """Requests as a client of the SavedModel words them. `[b]`, `[b, N]`, `[b, m]`."""

    who: tuple[Strings, ...]
    """User id, then the user attributes."""
    history_item_ids: Strings
    history_event_types: Strings
    """Newest first; "" where nothing happened."""
    history_age_days: Floats
    requested_at: NDArray[np.int64]
    product_ids: Strings

    @classmethod
    def draw(cls, folder: Path, *, num_requests: int, seed: int) -> Self:
        encoder, rng = TowerEncoder.load(folder / VOCABULARIES), np.random.default_rng(seed)
        shape = (num_requests, encoder.history_length)
        # Every length from none to all: padding must be the same in both forms.
        happened = np.arange(shape[1]) < rng.integers(0, shape[1] + 1, num_requests)[:, None]
        event_types = rng.choice([str(event_type) for event_type in EVENT_TYPES], shape)
        ages = np.round(np.sort(rng.exponential(20.0, shape), axis=1) * SECONDS_PER_DAY) / SECONDS_PER_DAY
        return cls(
            who=tuple(
                _draw(vocabulary, (num_requests,), rng)
                for vocabulary in (encoder.users, *encoder.user_attributes.values())
            ),
            history_item_ids=np.where(happened, _draw(encoder.items, shape, rng), ""),
            history_event_types=np.where(happened, event_types, ""),
            history_age_days=np.where(happened, ages, 0).astype(np.float32),
            requested_at=rng.integers(FIRST_INSTANT, LAST_INSTANT, num_requests),
            product_ids=_draw(_catalogue_ids(folder), (num_requests, NUM_CANDIDATES), rng, known_share=1.0),
        )

    def named(self) -> dict[str, NDArray[Any]]:
        """The query features under the names of the SavedModel's inputs."""
        return {
            **dict(zip(("user_id", *USER_ATTRIBUTES), self.who, strict=True)),
            "history_item_ids": self.history_item_ids,
            "history_event_types": self.history_event_types,
            "history_age_days": self.history_age_days,
            "requested_at": self.requested_at,
        }

    def encoded(self, encoder: TowerEncoder) -> QueryInputs:
        """The same requests as the service encodes them."""
        vocabularies = (encoder.users, *encoder.user_attributes.values())
        ids = [vocabulary.rows(column.tolist()) + 1 for vocabulary, column in zip(vocabularies, self.who, strict=True)]
        event_types = Vocabulary.of([str(event_type) for event_type in EVENT_TYPES])
        return QueryInputs(
            ids=np.stack(ids, axis=1).astype(np.int32),
            history_items=_rows(encoder.items, self.history_item_ids) + 1,
            history_events=_rows(event_types, self.history_event_types) + 1,
            history_ages=np.log1p(self.history_age_days).astype(np.float32),
            context=cyclical_time(self.requested_at),
        )

    def histories(self, encoder: TowerEncoder) -> list[History]:
        """The same events as a service knows them; an item's row is its index in the towers' tables."""
        items = _rows(encoder.items, self.history_item_ids) + 1
        event_types = _rows(Vocabulary.of([str(event_type) for event_type in EVENT_TYPES]), self.history_event_types)
        seconds = np.round(self.history_age_days.astype(np.float64) * SECONDS_PER_DAY).astype(np.int64)
        found = []
        for place, size in enumerate((event_types >= 0).sum(axis=1).tolist()):
            of_request = (items, event_types.astype(np.int8), self.requested_at[:, None] - seconds)
            rows, codes, at = (np.ascontiguousarray(values[place, :size][::-1]) for values in of_request)
            found.append(History(rows, codes, at, np.ones(size, np.float32)))
        return found


def load_saved_model(folder: Path) -> Any:
    """The SavedModel of an export or a bundle."""
    from ml.retrieval.legacy_keras import tf

    return tf.saved_model.load(str(folder / SAVED_MODEL))


def call_signature(saved_model: Any, name: str, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """One signature called with plain named tensors, as TensorFlow Serving calls it."""
    from ml.retrieval.legacy_keras import tf

    outputs = saved_model.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    return {key: value.numpy() for key, value in outputs.items()}


def _retrieval_difference(folder: Path, requests: DrawnRequests) -> float:
    found = call_signature(load_saved_model(folder), "serving_default", **requests.named())
    catalogue, scores = _catalogue_ids(folder), _onnx_scores(folder, requests)
    rows = _rows(catalogue, np.char.decode(found["product_ids"].astype(bytes), "utf-8"))
    same_items = np.abs(np.take_along_axis(scores, rows, axis=1) - found["scores"])
    best = -np.sort(-scores, axis=1)[:, : found["scores"].shape[1]]  # ties may come in any order, their scores may not
    return float(max(same_items.max(), np.abs(best - found["scores"]).max()))


def _ranking_difference(folder: Path, requests: DrawnRequests) -> float:
    towers = OnnxTowers.open(folder)
    if not towers.has_head:
        return 0.0
    found = call_signature(
        load_saved_model(folder), "serve_ranking", **requests.named(), product_ids=requests.product_ids
    )
    queries, vectors = _onnx_vectors(folder, requests)
    rows = _rows(_catalogue_ids(folder), requests.product_ids)
    differences = [
        _head_difference(rated, {name: value[i] for name, value in found.items()})
        for i, (query, mine) in enumerate(zip(queries, rows, strict=True))
        for rated in (towers.rate(query, vectors, mine), towers.rate_by_graph(query, vectors[mine]))
    ]
    return max(differences)


def compiled_difference(folder: Path, requests: DrawnRequests) -> float:
    """Of query vectors, where the tower is one that is compiled."""
    towers, encoder = OnnxTowers.open(folder), TowerEncoder.load(folder / VOCABULARIES)
    inputs, indexes = requests.encoded(encoder), np.arange(len(encoder.items) + 1, dtype=np.int32)
    asked = zip(inputs.ids, requests.histories(encoder), requests.requested_at.tolist(), strict=True)
    vectors = [towers.query_of(ids, past, encoder=encoder, item_indexes=indexes, at=at) for ids, past, at in asked]
    return float(np.abs(np.stack(vectors) - towers.query(inputs)).max())


def _head_difference(rated: HeadPredictions, found: dict[str, NDArray[Any]]) -> float:
    value = np.abs(rated.value - found["predictions"]) / np.maximum(np.abs(found["predictions"]), 1.0)
    normalized = np.abs(rated.value_normalized - found["predictions_normalized"])
    conversion = np.abs(rated.conversion - found["conversion"])
    return float(np.max([value, normalized, conversion]))


def _onnx_scores(folder: Path, requests: DrawnRequests) -> Floats:
    queries, vectors = _onnx_vectors(folder, requests)
    return queries @ vectors.T


def _onnx_vectors(folder: Path, requests: DrawnRequests) -> tuple[Floats, Floats]:
    encoder, towers = TowerEncoder.load(folder / VOCABULARIES), OnnxTowers.open(folder)
    return towers.query(requests.encoded(encoder)), towers.candidates(_candidates(folder, encoder))


def _candidates(folder: Path, encoder: TowerEncoder) -> CandidateInputs:
    catalogue = _catalogue(folder)
    inputs = encoder.candidates(catalogue)
    if SEEN not in catalogue.column_names:
        return inputs
    seen = catalogue[SEEN].combine_chunks().flatten().to_numpy()
    return replace(inputs, numbers=seen.reshape(inputs.numbers.shape))


def _catalogue(folder: Path) -> pa.Table:
    with pa.memory_map(str(folder / CATALOGUE)) as source:
        return pa.ipc.open_file(source).read_all()


def _catalogue_ids(folder: Path) -> Vocabulary:
    return Vocabulary.of(_catalogue(folder)["item_id"].to_pylist())


def _draw(
    vocabulary: Vocabulary, shape: tuple[int, ...], rng: np.random.Generator, *, known_share: float = 0.9
) -> Strings:
    """Ids of a vocabulary, some of them unknown to it."""
    known = np.array([*vocabulary.ids.to_pylist(), "nobody-knows-this-id"])
    drawn = rng.integers(0, max(len(known) - 1, 1), shape)
    return known[np.where(rng.random(shape) < known_share, drawn, len(known) - 1)]


def _rows(vocabulary: Vocabulary, ids: Strings) -> NDArray[np.int32]:
    """Rows of ids in any shape."""
    return vocabulary.rows(ids.ravel().tolist()).reshape(ids.shape)
