"""The towers and the rating head as a request runs them: compiled, or as ONNX graphs; one core, no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import BundleError
from ml.contract.types import Floats, Rows
from ml.features.history import History
from ml.features.tower_inputs import CandidateInputs, QueryInputs, TowerEncoder
from ml.features.transforms import TargetTransform
from ml.runtime.dense import HeadLayers
from ml.runtime.kernel import Kernel, compiled
from ml.runtime.query_tower import QUERY_WEIGHTS, CompiledQuery, QueryWeights

if TYPE_CHECKING:
    import onnxruntime as ort

QUERY_TOWER = "query_tower.onnx"
CANDIDATE_TOWER = "candidate_tower.onnx"
RATING_HEAD = "rating_head.onnx"
RATING_LAYERS = "rating_head.npz"
"""The same head as layers, for the kernel."""
TARGET = "target.json"
BLOCK = 16_384
"""Rows a tower is asked for at once."""


@dataclass(frozen=True)
class HeadPredictions:
    """What the rating head says of pairs of a query and a candidate. Arrays `[num_pairs]`; NaN where the model has no head."""

    value: Floats
    """Target column, original units."""
    value_normalized: Floats
    """Target column as the head learned it: centred and scaled."""
    conversion: Floats
    """Probability that an encounter with the item ends in a purchase."""
    click: Floats | None = None
    """Probability that an encounter holds a view or a click; None where the model did not learn it."""

    @classmethod
    def unknown(cls, num_pairs: int) -> Self:
        missing = np.full(num_pairs, np.nan, np.float32)
        return cls(missing, missing, missing)


@dataclass(frozen=True)
class OnnxTowers:
    """Both towers and, where the model was trained to rate, the rating head."""

    folder: Path
    has_head: bool
    head: "CompiledHead | None" = None
    """None in a bundle from before there was one: then the graph answers, as it does without a kernel."""
    compiled_query: CompiledQuery | None = None
    """The same of the query tower."""

    @cached_property
    def query_tower(self) -> "ort.InferenceSession":
        """Opened where the kernel does not answer: it holds a copy of all users and items."""
        return _session(self.folder / QUERY_TOWER)

    @cached_property
    def candidate_tower(self) -> "ort.InferenceSession":
        """Opened by who computes items' vectors. The service has them already: it saves twice the tower's size of memory."""
        return _session(self.folder / CANDIDATE_TOWER)

    @cached_property
    def rating_head(self) -> "ort.InferenceSession | None":
        """Opened where the kernel does not answer."""
        return _session(self.folder / RATING_HEAD) if self.has_head else None

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Of the graphs in `folder`; `rating_head.onnx` may be absent (`model_type: retrieval`).

        Raises:
            BundleError: a tower is absent.
        """
        for tower in (QUERY_TOWER, CANDIDATE_TOWER):
            _require(folder / tower)
        has_head = (folder / RATING_HEAD).exists()
        has_weights = (folder / QUERY_WEIGHTS).exists()
        return cls(
            folder=folder,
            has_head=has_head,
            head=CompiledHead.open(folder) if has_head and (folder / RATING_LAYERS).exists() else None,
            compiled_query=CompiledQuery(QueryWeights.load(folder)) if has_weights else None,
        )

    def query_of(self, ids: Rows, history: History, *, encoder: TowerEncoder, item_indexes: Rows, at: int) -> Floats:
        """Unit vector of one user at the instant `at` `[d]`.

        Args:
            ids: `[1 + attributes]`, a row of the encoder's `user_ids`; zeros for a stranger.
            item_indexes: `[catalogue]` of the catalogue the history's rows point into.
        """
        kernel = compiled()
        if self.compiled_query is None or kernel is None:
            return self.query(encoder.query(ids, history, item_indexes=item_indexes, at=at))[0]
        return self.compiled_query.vector(ids, history, item_indexes=item_indexes, at=at, kernel=kernel)

    def query(self, inputs: QueryInputs) -> Floats:
        """Unit vectors of moments of users `[b, d]`."""
        feeds = {
            "ids": inputs.ids,
            "history_items": inputs.history_items,
            "history_events": inputs.history_events,
            "history_ages": inputs.history_ages,
            "context": inputs.context,
        }
        return _run_in_blocks(self.query_tower, feeds)

    def candidates(self, inputs: CandidateInputs) -> Floats:
        """Unit vectors of items `[n, d]`."""
        return _run_in_blocks(self.candidate_tower, {"ids": inputs.ids, "numbers": inputs.numbers})

    def rate(self, query: Floats, candidates: Floats, rows: Rows | None = None) -> HeadPredictions:
        """Predictions for one query `[d]` with each of its candidates `[m, d]`, or with those `rows` of them."""
        kernel = compiled()
        if self.head is None or kernel is None:
            return self.rate_by_graph(query, candidates if rows is None else candidates[rows])
        return self.head.rate(
            query, candidates, np.arange(len(candidates), dtype=np.int32) if rows is None else rows, kernel
        )

    def rate_by_graph(self, query: Floats, candidates: Floats) -> HeadPredictions:
        """The same by ONNX."""
        if self.rating_head is None:
            return HeadPredictions.unknown(len(candidates))
        return HeadPredictions(
            *_run(self.rating_head, self._rated, {"query": query[None, :], "candidates": candidates})
        )

    @cached_property
    def _rated(self) -> list[str]:
        """What the rating head says, in the order of `HeadPredictions`."""
        assert self.rating_head is not None
        said = {output.name for output in self.rating_head.get_outputs()}
        return ["value", "value_normalized", "conversion", *(["click"] if "click" in said else [])]


@dataclass(frozen=True)
class CompiledHead:
    """The rating head as the kernel runs it: without a graph's overhead, and with one product where the graph needs two."""

    layers: HeadLayers
    target: TargetTransform

    @classmethod
    def open(cls, folder: Path) -> Self:
        """
        Raises:
            BundleError: the layers do not follow one another.
        """
        target = TargetTransform.model_validate_json((folder / TARGET).read_text())
        return cls(HeadLayers.load(folder / RATING_LAYERS), target)

    def rate(self, query: Floats, vectors: Floats, rows: Rows, kernel: Kernel) -> HeadPredictions:
        answers = self.layers.answers(query, vectors, rows, kernel)
        normalised = self.target.normalised(answers[:, 0])
        value = self.target.inverse(normalised).astype(np.float32)
        conversion = np.float32(1) / (np.float32(1) + np.exp(-answers[:, 1]))
        return HeadPredictions(value, normalised, conversion)


def _require(path: Path) -> None:
    if not path.exists():
        raise BundleError(f"Expected {path.name} in {path.parent}. Received: no such file. Export the retriever again.")


def _session(path: Path) -> "ort.InferenceSession":
    import onnxruntime as ort  # a service whose towers are compiled does without

    _require(path)
    options = ort.SessionOptions()
    # One request, one core: a thread pool costs more to wake than these graphs take, and spinning steals from other requests.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run_in_blocks(session: "ort.InferenceSession", feeds: Mapping[str, NDArray[Any]]) -> Floats:
    """Vectors of any number of rows in bounded memory: what lies between two layers is larger than what goes in and comes out."""
    rows = len(next(iter(feeds.values())))
    blocks = [
        _run(session, ["vector"], {name: array[start : start + BLOCK] for name, array in feeds.items()})[0]
        for start in range(0, max(rows, 1), BLOCK)
    ]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _run(session: "ort.InferenceSession", outputs: list[str], feeds: Mapping[str, NDArray[Any]]) -> list[Floats]:
    found: list[Floats] = session.run(outputs, dict(feeds))
    return found
