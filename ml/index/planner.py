"""Chooses how to search a catalogue: exact while that wins, else the cheapest ScaNN setting that meets a recall target."""

import shutil
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ml.contract.errors import DataError
from ml.contract.files import locked, sync_tree
from ml.contract.types import Floats, Rows
from ml.runtime.mapped import mapped
from ml.runtime.search import ExactIndex, Index, PartitionedIndex, ScannIndex, open_index


class IndexSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "exact", "scann"] = Field("auto", description="`auto`: by catalogue size and platform.")
    exact_below: int = Field(
        8_000,
        ge=1,
        description="Catalogues smaller than this are searched exactly, with no approximation to pay for.",
    )
    k: int = Field(100, ge=1, le=1_000, description="Recall is measured among so many nearest items.")
    min_recall: float = Field(0.95, gt=0, le=1)
    items_per_part: int = Field(
        1_000_000,
        ge=1_000,
        description="A larger catalogue gets an index of several parts, all searched: a killed build goes on part by part.",
    )
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
    parts: int = 1
    """Searched one after the other; leaves are those of all."""


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
        vectors = mapped(folder / "vectors.npy")
        report = TypeAdapter(IndexReport).validate_json((folder / "report.json").read_bytes())
        return cls(open_index(folder / "index", vectors), vectors, report)

    def summary(self) -> dict[str, str | int | float]:
        return asdict(self.report)


def build_index(vectors: Floats, queries: Floats, *, settings: IndexSettings, folder: Path | None = None) -> BuiltIndex:
    """An index over `vectors [num_items, dimension]` that was tried on real `queries [num_queries, dimension]`.

    Args:
        folder: parts of an index of several are kept here; a build that was killed goes on with the missing ones.

    Raises:
        DataError: no ScaNN setting reaches the recall target.
    """
    queries = queries[: settings.max_queries]
    if not _wants_scann(len(vectors), settings):
        return BuiltIndex(ExactIndex(vectors), vectors, _report("exact", 1.0, vectors, queries, settings))
    with TemporaryDirectory() as temporary:
        kept = folder or Path(temporary)
        with locked(kept):  # another run of this home would forget these parts while they are built
            parts = _Parts.of(vectors, settings, kept)
    truth, best = _exact_rows(vectors, queries, settings.k), 0.0
    for share, reorder in _EFFORTS:
        index = parts.index(share, reorder=max(reorder, settings.k))
        found = recall(index.search(queries, settings.k)[0], truth)
        if found >= settings.min_recall:
            facts = parts.facts(share, reorder=max(reorder, settings.k))
            return BuiltIndex(index, vectors, _report(index.kind, found, vectors, queries, settings, **facts))
        best = max(best, found)
    raise DataError(
        f"ScaNN must find {settings.min_recall:.2f} of the nearest {settings.k}. Received: {best:.3f} at the most. "
        "Set `index.kind: exact`, or lower `index.min_recall`."
    )


@dataclass(frozen=True)
class _Parts:
    """ScaNN searchers over consecutive rows of a catalogue, most often one. How hard they search is chosen for all at once:
    what one part misses counts only if it is among the nearest of the whole."""

    starts: tuple[int, ...]
    searchers: tuple[Any, ...]
    vectors: Floats

    @classmethod
    def of(cls, vectors: Floats, settings: IndexSettings, folder: Path) -> Self:
        """Those kept in `folder` are read, the missing ones built and kept, all others forgotten."""
        num_parts = -(-len(vectors) // settings.items_per_part)
        starts = tuple(int(start) for start in np.linspace(0, len(vectors), num_parts + 1))
        if num_parts == 1:
            return cls(starts, (_scann_searcher(vectors, k=settings.k),), vectors)
        parts = [np.ascontiguousarray(vectors[start:end]) for start, end in pairwise(starts)]
        keys = [_part_key(rows, settings) for rows in parts]
        searchers = tuple(_kept_searcher(folder / key, rows, settings) for key, rows in zip(keys, parts, strict=True))
        for left in folder.iterdir():
            if left.is_dir() and left.name not in keys:
                shutil.rmtree(left)
        return cls(starts, searchers, vectors)

    def index(self, share: float, *, reorder: int) -> Index:
        """The index that searches this share of each part's leaves and scores so many of its items again."""
        parts = tuple(
            ScannIndex(searcher, self.vectors[start:end], max(int(_num_leaves(end - start) * share), 1), reorder)
            for searcher, (start, end) in zip(self.searchers, pairwise(self.starts), strict=True)
        )
        return parts[0] if len(parts) == 1 else PartitionedIndex(parts, self.starts)

    def facts(self, share: float, *, reorder: int) -> dict[str, int]:
        """Of that index, for its report."""
        leaves = [_num_leaves(end - start) for start, end in pairwise(self.starts)]
        searched = [max(int(each * share), 1) for each in leaves]
        return {"leaves": sum(leaves), "leaves_to_search": sum(searched), "reorder": reorder, "parts": len(leaves)}


def _kept_searcher(folder: Path, rows: Floats, settings: IndexSettings) -> Any:
    """From an earlier build that was killed, where it got so far."""
    if not folder.exists():
        built = ScannIndex(_scann_searcher(rows, k=settings.k), rows, 1, settings.k)
        draft = folder.with_name(f"unfinished-{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)
        built.save(draft)
        sync_tree(draft)
        draft.rename(folder)
    return ScannIndex.load(folder, rows).searcher


def _part_key(rows: Floats, settings: IndexSettings) -> str:
    """Hash of all that decides a part's searcher."""
    hashed = sha256(f"{settings.k} {rows.shape}".encode())
    hashed.update(rows.data)
    return hashed.hexdigest()[:24]


def _num_leaves(num_items: int) -> int:
    return max(int(np.sqrt(num_items)), 2)


def _exact_rows(vectors: Floats, queries: Floats, k: int) -> Rows:
    """The truly nearest rows, a few queries at a time: scores of all queries with all items may not fit into memory."""
    exact, block = ExactIndex(vectors), max(SCORES_AT_ONCE // len(vectors), 1)
    found = [exact.search(queries[start : start + block], k)[0] for start in range(0, len(queries), block)]
    return np.concatenate(found)


SCORES_AT_ONCE = 50_000_000
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


def _scann_searcher(vectors: Floats, *, k: int) -> Any:
    from scann.scann_ops.py import scann_ops_pybind

    leaves = _num_leaves(len(vectors))
    builder = scann_ops_pybind.builder(vectors, k, "dot_product")
    builder = builder.tree(leaves, max(leaves // 10, 1), training_sample_size=min(len(vectors), 250_000))
    # Two dimensions a block and 0.2 are what the paper's authors recommend for unit vectors (docs/algorithms.md).
    return builder.score_ah(2, anisotropic_quantization_threshold=0.2).build()


def _report(
    kind: str, found: float, vectors: Floats, queries: Floats, settings: IndexSettings, **effort: int
) -> IndexReport:
    return IndexReport(kind, found, min(settings.k, len(vectors)), len(queries), len(vectors), **effort)
