"""Source tables of one cut, from the events known before it."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from ml.candidates.settings import SourceSettings
from ml.contract.types import Floats, Rows
from ml.features.log import InteractionLog
from ml.runtime.candidates import WEIGHT_OF_CODE, SourceTables, decay, strength
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.popular import Popularity

BLOCK = 1_024
"""Items whose co-occurrences are in memory at once."""


def fit_sources(
    log: InteractionLog, *, num_items: int, cut: int, interest_decay_days: float, settings: SourceSettings
) -> SourceTables:
    """Of a log that ends before `cut`."""
    interest = interest_matrix(log, num_items=num_items, cut=cut, decay_days=interest_decay_days)
    baskets = basket_matrix(log, num_items=num_items)
    return SourceTables(
        ease=ease(interest, settings=settings),
        item_knn=cosine(interest, neighbours=settings.knn_neighbours, shrinkage=0.0),
        bought_together=cosine(baskets, neighbours=settings.basket_neighbours, shrinkage=settings.basket_shrinkage),
        popularity=popularity(log, num_items=num_items, cut=cut, decay_days=settings.popularity_decay_days),
    )


def interest_matrix(log: InteractionLog, *, num_items: int, cut: int, decay_days: float) -> sparse.csr_matrix:
    """Who is interested in what, as `Interest` says it of one person. `[users with events, num_items]`"""
    weights = WEIGHT_OF_CODE[log.event_codes] * decay(cut - log.occurred_at, decay_days)
    users, rows = np.unique(log.user_rows, return_inverse=True)
    summed = sparse.coo_matrix((weights, (rows, log.item_rows)), shape=(len(users), num_items)).tocsr()
    summed.data = strength(np.maximum(summed.data, 0))
    summed.eliminate_zeros()
    return summed


def basket_matrix(log: InteractionLog, *, num_items: int) -> sparse.csr_matrix:
    """Which items lay in one basket. `[baskets of two items or more, num_items]`"""
    known = log.where((log.basket_rows >= 0) & (WEIGHT_OF_CODE[log.event_codes] > 0))
    baskets, rows = np.unique(known.basket_rows, return_inverse=True)
    ones = np.ones(len(known), np.float32)
    matrix = sparse.coo_matrix((ones, (rows, known.item_rows)), shape=(len(baskets), num_items)).tocsr()
    matrix.data[:] = 1.0
    return matrix[np.diff(matrix.indptr) > 1]


def ease(interest: sparse.csr_matrix, *, settings: SourceSettings) -> NeighbourTable:
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
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    strongest = _strongest(np.abs(weights), settings.ease_neighbours)
    items: Rows = np.repeat(kept, strongest.shape[1]).astype(np.int32)
    others: Rows = kept[strongest].ravel().astype(np.int32)
    strengths: Floats = np.take_along_axis(weights, strongest, axis=1).ravel().astype(np.float32)
    return _table([(items, others, strengths)], num_items=num_items)


def cosine(matrix: sparse.csr_matrix, *, neighbours: int, shrinkage: float) -> NeighbourTable:
    """Cosine of item columns, co-occurrence / (|a| |b| + shrinkage), the strongest kept; an item is not its own neighbour."""
    num_items = matrix.shape[1]
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()).astype(np.float32)
    # Once, not per block: SciPy would turn the whole matrix round for each, and their number grows with the catalogue.
    by_item, by_row = matrix.T.tocsr(), matrix.tocsr()
    found = [
        _nearest(by_item[start : start + BLOCK] @ by_row, start, norms, neighbours=neighbours, shrinkage=shrinkage)
        for start in range(0, num_items, BLOCK)
    ]
    return _table(found, num_items=num_items)


def _nearest(
    together: sparse.csr_matrix, start: int, norms: Floats, *, neighbours: int, shrinkage: float
) -> tuple[Rows, Rows, Floats]:
    """Items of a block, their strongest neighbours and cosines; rows of `together` are items from `start` on."""
    pairs = together.tocoo()
    items, others = (pairs.row + start).astype(np.int32), pairs.col.astype(np.int32)
    similar = pairs.data / (norms[items] * norms[others] + shrinkage + 1e-9)
    real = (items != others) & (similar > 0)
    items, others, similar = items[real], others[real], similar[real]
    order = np.lexsort((others, -similar, items))
    items, others, similar = items[order], others[order], similar[order]
    kept = np.arange(len(items)) - np.searchsorted(items, items) < neighbours
    return items[kept], others[kept], similar[kept]


def popularity(log: InteractionLog, *, num_items: int, cut: int, decay_days: float) -> Popularity:
    """Summed positive event weights, decayed and not."""
    weights = np.maximum(WEIGHT_OF_CODE[log.event_codes], 0)

    def summed(values: Floats) -> Floats:
        return np.bincount(log.item_rows, values, num_items).astype(np.float32)

    recent = summed(weights * decay(cut - log.occurred_at, decay_days))
    all_time = summed(weights)
    return Popularity(recent, all_time, recent / (all_time + 1))


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
