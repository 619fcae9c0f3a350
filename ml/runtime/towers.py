"""The towers and the rating head as a request runs them: ONNX graphs, one core, no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ml.contract.errors import BundleError
from ml.contract.types import Floats
from ml.features.tower_inputs import CandidateInputs, QueryInputs

QUERY_TOWER = "query_tower.onnx"
CANDIDATE_TOWER = "candidate_tower.onnx"
RATING_HEAD = "rating_head.onnx"
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

    @classmethod
    def unknown(cls, num_pairs: int) -> Self:
        missing = np.full(num_pairs, np.nan, np.float32)
        return cls(missing, missing, missing)


@dataclass(frozen=True)
class OnnxTowers:
    """Both towers and, where the model was trained to rate, the rating head."""

    folder: Path
    query_tower: ort.InferenceSession
    rating_head: ort.InferenceSession | None

    @cached_property
    def candidate_tower(self) -> ort.InferenceSession:
        """Opened by who computes items' vectors. The service has them already: it saves twice the tower's size of memory."""
        return _session(self.folder / CANDIDATE_TOWER)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Of the graphs in `folder`; `rating_head.onnx` may be absent (`model_type: retrieval`).

        Raises:
            BundleError: a tower is absent.
        """
        rating_head = folder / RATING_HEAD
        _require(folder / CANDIDATE_TOWER)
        return cls(
            folder=folder,
            query_tower=_session(folder / QUERY_TOWER),
            rating_head=_session(rating_head) if rating_head.exists() else None,
        )

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

    def rate(self, query: Floats, candidates: Floats) -> HeadPredictions:
        """Predictions for one query `[d]` with each of its candidates `[m, d]`."""
        if self.rating_head is None:
            return HeadPredictions.unknown(len(candidates))
        names = ["value", "value_normalized", "conversion"]
        return HeadPredictions(*_run(self.rating_head, names, {"query": query[None, :], "candidates": candidates}))


def _require(path: Path) -> None:
    if not path.exists():
        raise BundleError(f"Expected {path.name} in {path.parent}. Received: no such file. Export the retriever again.")


def _session(path: Path) -> ort.InferenceSession:
    _require(path)
    options = ort.SessionOptions()
    # One request, one core: a thread pool costs more to wake than these graphs take, and spinning steals from other requests.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run_in_blocks(session: ort.InferenceSession, feeds: Mapping[str, NDArray[Any]]) -> Floats:
    """Vectors of any number of rows in bounded memory: what lies between two layers is larger than what goes in and comes out."""
    rows = len(next(iter(feeds.values())))
    blocks = [
        _run(session, ["vector"], {name: array[start : start + BLOCK] for name, array in feeds.items()})[0]
        for start in range(0, max(rows, 1), BLOCK)
    ]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _run(session: ort.InferenceSession, outputs: list[str], feeds: Mapping[str, NDArray[Any]]) -> list[Floats]:
    found: list[Floats] = session.run(outputs, dict(feeds))
    return found
