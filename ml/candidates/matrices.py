"""Events and descriptions as sparse matrices: what the tables of neighbours are fitted on."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from scipy import sparse

from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog
from ml.runtime.interest import WEIGHT_OF_CODE, strength

WORD = re.compile(r"\w\w+")
KINDS = ("category", "sub_category", "brand", "seller_id")
"""Columns of items whose value is one word."""


def newest_of_each_user(log: InteractionLog, at_most: int) -> InteractionLog:
    """The newest events of every user. Pairs of items grow with the square of what one user did: a robot that saw the whole shop
    would make more of them than all customers together."""
    order = np.argsort(log.user_rows, kind="stable")  # stable: inside a user the events stay by time
    users = log.user_rows[order]
    ends = np.searchsorted(users, users, side="right")
    kept = order[np.arange(len(order)) >= ends - at_most]
    return log.where(np.sort(kept))


def interest_matrix(log: InteractionLog, *, num_items: int) -> sparse.csr_array:
    """Who is interested in what, as `Readings.lasting` says it of one person. `[users with events, num_items]`"""
    users, rows = np.unique(log.user_rows, return_inverse=True)
    summed = _summed(WEIGHT_OF_CODE[log.event_codes], rows, log.item_rows, shape=(len(users), num_items))
    summed.data = strength(np.maximum(summed.data, 0))
    summed.eliminate_zeros()
    return summed


def basket_matrix(log: InteractionLog, *, num_items: int) -> sparse.csr_array:
    """Which items lay in one basket. `[baskets of two items or more, num_items]`"""
    known = log.where((log.basket_rows >= 0) & (WEIGHT_OF_CODE[log.event_codes] > 0))
    baskets, rows = np.unique(known.basket_rows, return_inverse=True)
    matrix = _summed(np.ones(len(known), np.float32), rows, known.item_rows, shape=(len(baskets), num_items))
    matrix.data[:] = 1.0
    return matrix[np.diff(matrix.indptr) > 1]


def moments(
    log: InteractionLog, *, num_items: int, cut: int, ahead: int, decay_days: float
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """What was liked at each moment, and what the same user liked at the `ahead` moments after it.

    A moment is everything one user did at one instant, a whole order say: inside it there is no order to learn from. Its items
    share a weight of 1 in the sense that products of two moments do; later moments count half as much each; old ones fade.

    Returns:
        Two matrices `[num_moments, num_items]`.
    """
    liked = log.where(WEIGHT_OF_CODE[log.event_codes] > 0)
    liked = liked.where(np.lexsort((liked.occurred_at, liked.user_rows)))
    starts = np.concatenate([[True], (np.diff(liked.user_rows) != 0) | (np.diff(liked.occurred_at) != 0)])[: len(liked)]
    rows = np.cumsum(starts) - 1
    owners, at = liked.user_rows[starts], liked.occurred_at[starts]
    now = _summed(np.ones(len(liked), np.float32), rows, liked.item_rows, shape=(len(owners), num_items))
    now.data[:] = 1.0
    now = sparse.csr_array(sparse.diags_array(np.maximum(np.diff(now.indptr), 1) ** -0.5) @ now)
    later = sum((_later(now, owners, places) * 0.5 ** (places - 1) for places in range(1, ahead + 1)), start=now * 0)
    fading = np.exp((at - cut) / (decay_days * SECONDS_PER_DAY)).astype(np.float32)
    return sparse.csr_array(sparse.diags_array(fading) @ now), sparse.csr_array(later)


def _later(now: sparse.csr_array, owners: Rows, places: int) -> sparse.csr_array:
    """Row i is row i + `places` where that is a moment of the same user, else empty."""
    rows = np.arange(len(owners) - places)
    rows = rows[owners[rows] == owners[rows + places]]
    shift = sparse.csr_array((np.ones(len(rows), np.float32), (rows, rows + places)), shape=(len(owners), len(owners)))
    return sparse.csr_array(shift @ now)


def word_matrix(items: pa.Table, *, most_pairs: int) -> sparse.csr_array:
    """Which words describe an item: those of its title, its category, sub-category, brand and seller, each word weighing
    log(items / items with it), each row of length 1 `[num_items, num_words]`.

    Args:
        items: with columns of `DIM_ITEMS`.
        most_pairs: pairs of items with a word in common, over all words. Words that most items have are left out until there are
            no more: they say least, and of a million items each would make up to a million million.
    """
    words: dict[str, int] = {}
    found = [
        (row, words.setdefault(word, len(words)))
        for row, described in enumerate(_words(items))
        for word in sorted(described)
    ]
    rows, columns = np.array(found, np.int64).reshape(-1, 2).T
    matrix = _summed(np.ones(len(rows), np.float32), rows, columns, shape=(len(items), len(words)))
    per_word = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    rarest = np.argsort(per_word, kind="stable")
    kept = np.sort(rarest[np.cumsum(per_word[rarest] ** 2) <= most_pairs])
    weights = np.log(len(items) / per_word[kept]).astype(np.float32)
    weighted = sparse.csr_array(matrix[:, kept] @ sparse.diags_array(weights))
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1 / np.maximum(lengths, 1e-9)) @ weighted).astype(np.float32)


def _words(items: pa.Table) -> Iterator[set[str]]:
    """Of each item. A value of a kind is one word of its own: a brand is not what a title happens to say."""
    titles, kinds = items["title"].to_pylist(), [items[name].to_pylist() for name in KINDS]
    for title, *values in zip(titles, *kinds, strict=True):
        named = {f"{name}={value}" for name, value in zip(KINDS, values, strict=True) if value is not None}
        yield named | set(WORD.findall((title or "").lower()))


def _summed(weights: Floats, rows: Seconds, columns: Rows | Seconds, *, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.coo_array((weights.astype(np.float32), (rows, columns)), shape=shape).tocsr()
