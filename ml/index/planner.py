"""Chooses how to search a catalogue: exact while that wins, else the cheapest ScaNN setting that meets a recall target."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ml.contract.errors import DataError
from ml.contract.types import Floats
from ml.runtime.search import ExactIndex, Index, ScannIndex, open_index


class IndexSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "exact", "scann"] = Field("auto", description="`auto`: by catalogue size and platform.")
    exact_below: int = Field(
        20_000,
        ge=1,
        description="Catalogues smaller than this are searched exactly: about 0.1 ms, no approximation to pay for.",
    )
    k: int = Field(100, ge=1, le=1_000, description="Recall is measured among so many nearest items.")
    min_recall: float = Field(0.95, gt=0, le=1)
    max_queries: int = Field(1_000, ge=10, description="Query vectors the recall is measured on.")


@dataclass(frozen=True)
class IndexReport:
    """What was built and how well it finds."""

    kind: str
    recall: float
    """Share of the exact nearest `k` that the index finds, over `num_queries` real query vectors."""
    k: int
    num_queries: int
    num_items: int
    leaves: int = 0
    leaves_to_search: int = 0
    reorder: int = 0


@dataclass(frozen=True)
class BuiltIndex:
    """An index, the vectors it was built from and its report."""

    index: Index
    vectors: Floats
    report: IndexReport

    def save(self, folder: Path) -> None:
        self.index.save(folder / "index")
        np.save(folder / "vectors.npy", self.vectors)
        (folder / "report.json").write_bytes(TypeAdapter(IndexReport).dump_json(self.report, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        vectors = np.load(folder / "vectors.npy", allow_pickle=False)
        report = TypeAdapter(IndexReport).validate_json((folder / "report.json").read_bytes())
        return cls(open_index(folder / "index", vectors), vectors, report)

    def summary(self) -> dict[str, str | int | float]:
        return asdict(self.report)


def build_index(vectors: Floats, queries: Floats, *, settings: IndexSettings) -> BuiltIndex:
    """An index over `vectors [num_items, dimension]` that was tried on real `queries [num_queries, dimension]`.

    Raises:
        DataError: no ScaNN setting reaches the recall target.
    """
    queries = queries[: settings.max_queries]
    exact = ExactIndex(vectors)
    if not _wants_scann(len(vectors), settings):
        return BuiltIndex(exact, vectors, _report("exact", 1.0, vectors, queries, settings))
    truth = exact.search(queries, settings.k)[0]
    leaves = max(int(np.sqrt(len(vectors))), 2)
    searcher = _scann_searcher(vectors, leaves=leaves, k=settings.k)
    best = 0.0
    for share, reorder in _EFFORTS:
        effort = max(int(leaves * share), 1)
        index = ScannIndex(searcher, len(vectors), vectors.shape[1], effort, max(reorder, settings.k))
        found = recall(index.search(queries, settings.k)[0], truth)
        if found >= settings.min_recall:
            report = _report(
                "scann",
                found,
                vectors,
                queries,
                settings,
                leaves=leaves,
                leaves_to_search=effort,
                reorder=index.reorder,
            )
            return BuiltIndex(index, vectors, report)
        best = max(best, found)
    raise DataError(
        f"ScaNN must find {settings.min_recall:.2f} of the nearest {settings.k}. Received: {best:.3f} at the most. "
        "Set `index.kind: exact`, or lower `index.min_recall`."
    )


_EFFORTS = (
    (0.01, 200),
    (0.02, 200),
    (0.05, 200),
    (0.05, 400),
    (0.10, 400),
    (0.20, 400),
    (0.20, 1_000),
    (0.50, 1_000),
    (1.00, 2_000),
)
"""Share of leaves searched and candidates re-scored, by rising cost."""


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of each row of `truth` that occurs in the same row of `found`.

    >>> recall(np.array([[1, 2], [3, 9]]), np.array([[2, 1], [3, 4]]))
    0.75
    """
    return float(np.mean([np.isin(wanted, got).mean() for got, wanted in zip(found, truth, strict=True)]))


def _wants_scann(num_items: int, settings: IndexSettings) -> bool:
    if settings.kind == "auto":
        return num_items >= settings.exact_below and has_scann()
    return settings.kind == "scann"


def has_scann() -> bool:
    """Whether this platform has the wheel (Linux only)."""
    from importlib.util import find_spec

    return find_spec("scann") is not None


def _scann_searcher(vectors: Floats, *, leaves: int, k: int) -> Any:
    from scann.scann_ops.py import scann_ops_pybind

    builder = scann_ops_pybind.builder(vectors, k, "dot_product")
    builder = builder.tree(leaves, max(leaves // 10, 1), training_sample_size=min(len(vectors), 250_000))
    # Two dimensions a block and 0.2 are what the paper's authors recommend for unit vectors (docs/algorithms.md).
    return builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(max(200, k)).build()


def _report(
    kind: str, found: float, vectors: Floats, queries: Floats, settings: IndexSettings, **effort: int
) -> IndexReport:
    return IndexReport(kind, found, min(settings.k, len(vectors)), len(queries), len(vectors), **effort)
