"""Tables of neighbours from sparse matrices whose columns are items."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from ml.candidates.settings import SourceSettings
from ml.contract.errors import DataError
from ml.contract.types import Floats, Rows
from ml.runtime.neighbours import NeighbourTable

BLOCK = 1_024
"""Items whose co-occurrences are in memory at once."""


def alike(
    left: sparse.csr_array,
    right: sparse.csr_array,
    *,
    norms: tuple[Floats, Floats],
    neighbours: int,
    shrinkage: float = 0.0,
) -> NeighbourTable:
    """Of each column of `left` the columns of `right` with the largest product / (norm x norm + shrinkage), the strongest kept; no
    item is its own neighbour.

    Args:
        left: `[num_rows, num_items]`.
        right: the same shape; `left` itself where likeness has no direction.
        norms: of the columns of each `[num_items]`.
    """
    num_items = left.shape[1]
    # Once, not per block: SciPy would turn the whole matrix round for each, and their number grows with the catalogue.
    by_item, by_row = left.T.tocsr(), right.tocsr()
    found = [
        _nearest(by_item[start : start + BLOCK] @ by_row, start, norms, neighbours=neighbours, shrinkage=shrinkage)
        for start in range(0, num_items, BLOCK)
    ]
    return _table(found, num_items=num_items)


def _nearest(
    together: sparse.csr_array, start: int, norms: tuple[Floats, Floats], *, neighbours: int, shrinkage: float
) -> tuple[Rows, Rows, Floats]:
    """Items of a block, their strongest neighbours and weights; rows of `together` are items from `start` on."""
    counts = np.diff(together.indptr)
    items = np.repeat(np.arange(start, start + len(counts), dtype=np.int32), counts)
    others: Rows = together.indices.astype(np.int32)
    similar = (together.data / (norms[0][items] * norms[1][others] + shrinkage + 1e-9)).astype(np.float32)
    similar[items == others] = 0.0
    weakest = [_weakest_of(row, neighbours) for row in np.split(similar, together.indptr[1:-1])]
    strong = (similar > 0) & (similar >= np.repeat(np.array(weakest, np.float32), counts))
    # Of a few: sorting all pairs took most of the time.
    return strongest_of_each(items[strong], others[strong], similar[strong], neighbours=neighbours)


def strongest_of_each(items: Rows, others: Rows, weights: Floats, *, neighbours: int) -> tuple[Rows, Rows, Floats]:
    """Of pairs in any order so many of each item, by item and by weight, the lower row first of equal ones."""
    order = np.lexsort((others, -weights, items))
    items, others, weights = items[order], others[order], weights[order]
    kept = np.arange(len(items)) - np.searchsorted(items, items) < neighbours
    return items[kept], others[kept], weights[kept]


def _weakest_of(values: Floats, k: int) -> np.float32:
    """The least of the `k` largest; 0 where there are no more."""
    return np.partition(values, len(values) - k)[len(values) - k] if len(values) > k else np.float32(0)


def ease(interest: sparse.csr_array, *, settings: SourceSettings) -> NeighbourTable:
    """Weights of EASE (Steck 2019, "Embarrassingly Shallow Autoencoders", eq. 8) over the most popular items."""
    num_items = interest.shape[1]
    support = np.asarray(interest.sum(axis=0)).ravel()
    kept = np.sort(np.argsort(-support, kind="stable")[: settings.ease_max_items])
    kept = kept[support[kept] > 0].astype(np.int32)
    if not len(kept):
        return _table([], num_items=num_items)
    popular = interest[:, kept]
    gram = (popular.T @ popular).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += settings.ease_l2
    inverted = inverse(gram)
    weights = inverted / -np.diag(inverted)
    np.fill_diagonal(weights, 0.0)
    strongest = _strongest(np.abs(weights), settings.ease_neighbours)
    items: Rows = np.repeat(kept, strongest.shape[1]).astype(np.int32)
    others: Rows = kept[strongest].ravel().astype(np.int32)
    strengths: Floats = np.take_along_axis(weights, strongest, axis=1).ravel().astype(np.float32)
    return _table([(items, others, strengths)], num_items=num_items)


def inverse(matrix: Floats) -> Floats:
    """Of a symmetric matrix with positive eigenvalues: by Cholesky's half of it, for half of what any other matrix costs.

    Raises:
        DataError: rounding has made it singular.
    """
    factor, failed = lapack.spotrf(matrix)
    if failed:
        raise DataError(
            "EASE needs a co-occurrence matrix with positive eigenvalues. Received: one that rounding has made singular. Raise `sources.ease_l2`."
        )
    upper, _ = lapack.spotri(factor)
    upper = np.triu(upper)
    whole: Floats = upper + np.triu(upper, 1).T
    return whole


def _table(pairs: Sequence[tuple[Rows, Rows, Floats]], *, num_items: int) -> NeighbourTable:
    """Of blocks of (items, neighbours, weights), ordered by item."""
    none = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    items, others, weights = (np.concatenate(parts) for parts in zip(none, *pairs, strict=True))
    return NeighbourTable.of_pairs(items, others, weights, num_items=num_items)


def _strongest(keys: Floats, k: int) -> Rows:
    """Columns of the `k` largest keys per row, the largest first. `[rows, min(k, columns)]`"""
    k = min(k, keys.shape[1])
    found = np.argpartition(-keys, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(keys, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1).astype(np.int32)
