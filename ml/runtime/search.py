"""Nearest items by inner product. One contract; the approximate index is judged by the exact one."""

import importlib
import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from ml.contract.errors import BundleError, ContractError
from ml.contract.types import Floats, Rows
from ml.runtime.likeness import scores_into
from ml.runtime.order import falling

MAX_RESULTS = 10_000
SCORES_AT_ONCE = 2**25
"""Of an exact search, 128 MB; a thousand queries over a million items at once would take 16 GB."""


class Index(Protocol):
    """Finds the items whose vectors have the largest inner product with a query's."""

    @property
    def kind(self) -> str: ...

    def search(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        """Item rows and scores `[num_queries, min(k, num_items)]`, best first."""
        ...

    def save(self, folder: Path) -> None: ...


def checked(queries: Floats, k: int, *, num_items: int, dimension: int) -> int:
    """The number of results to ask for. Native code corrupts memory on what this refuses."""
    if queries.ndim != 2 or queries.shape[1] != dimension or queries.dtype != np.float32:
        raise ContractError(
            f"Queries must be float32 [num_queries, {dimension}]. Received: {queries.dtype} {list(queries.shape)}."
        )
    if not 1 <= k <= MAX_RESULTS:
        raise ContractError(f"`k` must be between 1 and {MAX_RESULTS}. Received: {k}.")
    return min(k, num_items)


@dataclass(frozen=True)
class ExactIndex:
    """Every vector looked at. The right choice for small catalogues and the only one without a ScaNN wheel."""

    vectors: Floats
    """`[num_items, dimension]`"""

    @property
    def kind(self) -> str:
        return "exact"

    def search(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        k = checked(queries, k, num_items=len(self.vectors), dimension=self.vectors.shape[1])
        block = max(SCORES_AT_ONCE // len(self.vectors), 1)
        found = [self._nearest(queries[start : start + block], k) for start in range(0, max(len(queries), 1), block)]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])

    def _nearest(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        scores = queries @ self.vectors.T
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(scores, top, axis=1)
        order = np.lexsort((top, -found), axis=1)  # equal scores: lower row first, so that runs agree
        return np.take_along_axis(top, order, axis=1).astype(np.int32), np.take_along_axis(found, order, axis=1)

    def save(self, folder: Path) -> None:
        _describe(folder, kind=self.kind)

    @classmethod
    def load(cls, _folder: Path, vectors: Floats) -> Self:
        return cls(np.ascontiguousarray(vectors))


@dataclass(frozen=True)
class ScannIndex:
    """Partitioned, quantised search (Guo et al. 2020, "Accelerating Large-Scale Inference with Anisotropic Vector Quantization"),
    through the `scann` wheel. What it finds is scored again by the vectors themselves, here: ScaNN would keep a copy of them all."""

    searcher: Any
    vectors: Floats
    """`[num_items, dimension]`, what it was built from."""
    leaves_to_search: int
    reorder: int
    """So many are scored again, or as many as are asked for where that is more."""

    @property
    def kind(self) -> str:
        return "scann"

    def search(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        """As of every index; where the leaves hold fewer items one of them fills the end, with scores of -inf."""
        num_items, dimension = self.vectors.shape
        k = checked(queries, k, num_items=num_items, dimension=dimension)
        near = min(max(self.reorder, k), num_items)
        found, approximate = self.searcher.search_batched(
            queries,
            final_num_neighbors=near,
            pre_reorder_num_neighbors=near,  # of an index from before that was done here
            leaves_to_search=self.leaves_to_search,
        )
        rows, missing = found.astype(np.int32), np.isnan(approximate)
        scores = np.empty(rows.shape, np.float32)
        for near_rows, products, lacks, query in zip(rows, scores, missing, np.ascontiguousarray(queries), strict=True):
            near_rows[lacks] = near_rows[0]
            scores_into(products, self.vectors, near_rows, query)
            products[lacks] = -np.inf
            best = falling(products)
            near_rows[:], products[:] = near_rows[best], products[best]
        return rows[:, :k], scores[:, :k]

    def save(self, folder: Path) -> None:
        num_items, dimension = self.vectors.shape
        _describe(
            folder,
            kind=self.kind,
            num_items=num_items,
            dimension=dimension,
            leaves_to_search=self.leaves_to_search,
            reorder=self.reorder,
        )
        (folder / "scann").mkdir()
        self.searcher.serialize(str(folder / "scann"), relative_path=True)  # absolute paths cannot be moved

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> Self:
        scann_ops_pybind = _scann()
        described = _description(folder)
        num_items, dimension = described["num_items"], described["dimension"]
        if (num_items, dimension) != vectors.shape:
            raise BundleError(
                f"The index was built over {num_items} x {dimension} vectors, the bundle holds "
                f"{list(vectors.shape)}. Re-materialise `ann_index` and `candidate_bundle`."
            )
        searcher = scann_ops_pybind.load_searcher(str(folder / "scann"))
        return cls(searcher, vectors, described["leaves_to_search"], described["reorder"])


def _scann() -> Any:
    """The wheel's functions on arrays. It imports TensorFlow where that is installed, for functions on tensors: seconds and 300 MB
    that nobody here has a use for."""
    without = "tensorflow" not in sys.modules
    if without:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]  # Python's own way to say that a module is not there
    try:
        return importlib.import_module("scann.scann_ops.py.scann_ops_pybind")
    finally:
        if without:
            del sys.modules["tensorflow"]


@dataclass(frozen=True)
class PartitionedIndex:
    """Indexes over consecutive rows of one catalogue: all are asked, the best of their answers win."""

    parts: tuple[Index, ...]
    starts: tuple[int, ...]
    """First row of each part, and the number of rows at the end `[num_parts + 1]`."""

    @property
    def kind(self) -> str:
        return "partitioned"

    def search(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        answers = [part.search(queries, k) for part in self.parts]
        rows = np.concatenate([rows + start for (rows, _), start in zip(answers, self.starts, strict=False)], axis=1)
        scores = np.concatenate([scores for _, scores in answers], axis=1)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return np.take_along_axis(rows, order, axis=1).astype(np.int32), np.take_along_axis(scores, order, axis=1)

    def save(self, folder: Path) -> None:
        _describe(folder, kind=self.kind, starts=list(self.starts))
        for number, part in enumerate(self.parts):
            part.save(folder / _part_name(number))

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> Self:
        starts = tuple(_description(folder)["starts"])
        if starts[-1] != len(vectors):
            raise BundleError(
                f"The index was built over {starts[-1]} vectors, the bundle holds {len(vectors)}. "
                "Re-materialise `ann_index` and `candidate_bundle`."
            )
        parts = tuple(
            open_index(folder / _part_name(number), vectors[start:end])
            for number, (start, end) in enumerate(pairwise(starts))
        )
        return cls(parts, starts)


def _part_name(number: int) -> str:
    return f"part-{number:05d}"


def open_index(folder: Path, vectors: Floats) -> Index:
    """The index saved in a folder, over the same vectors it was built from."""
    kinds: dict[str, type[ExactIndex] | type[ScannIndex] | type[PartitionedIndex]] = {
        "exact": ExactIndex,
        "scann": ScannIndex,
        "partitioned": PartitionedIndex,
    }
    kind = _description(folder)["kind"]
    if kind not in kinds:
        raise BundleError(
            f"Index kind must be one of {', '.join(kinds)}. Received: {kind!r}. Upgrade Aisle or re-materialise."
        )
    return kinds[kind].load(folder, vectors)


def _describe(folder: Path, **facts: str | int | list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.json").write_text(json.dumps(facts, indent=1))


def _description(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return described
