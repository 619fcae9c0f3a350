"""From scores to ranked lists. Ties everywhere: higher score first, then lower item row."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml.contract.types import Floats, Rows

ROWS_AT_ONCE = 512
"""Items, or users, whose pairs are in memory at once. All pairs are sparse: dense ones grow with the square of the catalogue."""
_GROUP = 16


def best_of(scores: sparse.csr_array, *, k: int) -> Rows:
    """The items of the k highest positive scores of each user, padded with -1 `[num_users, k]`."""
    best = strongest(scores, k=k).tocoo()
    return ranked(best.row, best.col, by=(best.data,), num_users=scores.shape[0], k=k)


def best_of_dense(scores: Floats, *, k: int) -> Rows:
    """The items of the k highest scores of each user; -inf is never listed `[num_users, k]`, padded with -1."""
    pairs = np.flatnonzero(scores >= _floor(scores, k=k))
    values = scores.ravel()[pairs]
    listed = np.isfinite(values)
    users, items = np.divmod(pairs[listed], scores.shape[1])
    return ranked(users, items, by=(values[listed],), num_users=len(scores), k=k)


def _floor(scores: Floats, *, k: int) -> Floats:
    """A score that at least k items of each user reach, and few more `[num_users, 1]`.

    The k-th highest of the maxima of groups of items: k groups reach it, so k items do. To order a sixteenth of the numbers is what makes
    lists over a whole catalogue cheap.
    """
    groups = scores.shape[1] // _GROUP
    if groups >= 4 * k:
        grouped = scores[:, : groups * _GROUP].reshape(len(scores), _GROUP, groups)
        scores = np.concatenate([grouped.max(axis=1), scores[:, groups * _GROUP :]], axis=1)
    place = max(scores.shape[1] - k, 0)
    return np.partition(scores, place, axis=1)[:, place : place + 1]


def strongest(table: sparse.csr_array, *, k: int) -> sparse.csr_array:
    """The k highest positive values of each row and those equal to the last of them."""
    values, starts = table.data, table.indptr
    threshold = np.zeros(table.shape[0], values.dtype)
    for row in np.flatnonzero(np.diff(starts) > k):
        mine = values[starts[row] : starts[row + 1]]
        threshold[row] = np.partition(mine, len(mine) - k)[len(mine) - k]
    kept = table.copy()
    kept.data = np.where((values > 0) & (values >= threshold.repeat(np.diff(starts))), values, 0)
    kept.eliminate_zeros()
    return kept


def ranked(
    users: NDArray[np.integer],
    items: NDArray[np.integer],
    *,
    by: tuple[NDArray[np.number], ...],
    num_users: int,
    k: int,
) -> Rows:
    """Each user's items, highest first by the keys in turn and by item row among equals, padded with -1 `[num_users, k]`."""
    order = np.lexsort((items, *(-key for key in reversed(by)), users))
    starts = np.searchsorted(users[order], np.arange(num_users))
    positions = np.arange(len(order)) - starts[users[order]]
    kept = positions < k
    lists = np.full((num_users, k), -1, np.int32)
    lists[users[order][kept], positions[kept]] = items[order][kept]
    return lists


def filled(lists: Rows, fallback: Rows, *, forbidden: NDArray[np.bool_] | None = None) -> Rows:
    """Lists whose empty places hold the fallback's items in order, none twice and none forbidden to that user
    `[num_users, len(fallback)]`."""
    num_users, k = lists.shape
    offered = np.tile(fallback, (num_users, 1))
    if forbidden is not None:
        offered[forbidden] = -1
    candidates = np.concatenate([lists, offered], axis=1)
    by_item = np.argsort(candidates, axis=1, kind="stable")  # stable: of two equals the first one stays
    ordered = np.take_along_axis(candidates, by_item, axis=1)
    repeated = np.zeros(candidates.shape, np.bool_)
    np.put_along_axis(repeated, by_item[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    candidates[repeated] = -1
    first = np.argsort(candidates < 0, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, first, axis=1)


def row_blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + ROWS_AT_ONCE) for start in range(0, size, ROWS_AT_ONCE))


def evenly(size: int, at_most: int) -> Rows:
    """At most so many positions out of `size`, evenly taken, ascending.

    >>> evenly(9, 3).tolist()
    [0, 4, 8]
    """
    return np.unique(np.linspace(0, size - 1, min(size, at_most)).astype(np.int32))
