"""Source tables of one cut, from the events known before it."""

import numpy as np
from scipy import sparse

from ml.candidates.descriptions import described_alike, spaces_of
from ml.candidates.likeness import alike, ease, strongest_of_each
from ml.candidates.low_rank import ITEMS_ADDED, USERS_ADDED, damped, item_factors
from ml.candidates.matrices import basket_matrix, interest_matrix, moments, newest_of_each_user, word_matrix
from ml.candidates.pulse import pulse_of
from ml.candidates.settings import SourceSettings
from ml.contract.types import Floats
from ml.features.log import InteractionLog
from ml.runtime.candidates import SourceTables
from ml.runtime.interest import WEIGHT_OF_CODE, decay
from ml.runtime.item_users import ItemUsers
from ml.runtime.items import ItemTable
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.popular import Popularity


def fit_sources(log: InteractionLog, items: ItemTable, *, cut: int, settings: SourceSettings) -> SourceTables:
    """Of a log that ends before `cut`, in the rows of `items`."""
    newest = newest_of_each_user(log, settings.events_per_user)
    interest = interest_matrix(newest, num_items=len(items))
    return SourceTables(
        neighbours={
            "ease": ease(interest, settings=settings),
            "item_knn": item_knn(interest, settings=settings),
            "next_items": next_items(newest, num_items=len(items), cut=cut, settings=settings),
            "content": content(items, settings=settings),
            "bought_together": bought_together(newest, num_items=len(items), settings=settings),
        },
        factors=item_factors(interest, rank=settings.directions_of(len(items))),
        interested=item_users(interest, most=settings.users_of(len(items))),
        popularity=popularity(log, num_items=len(items), cut=cut, decay_days=settings.popularity_decay_days),
        pulse=pulse_of(log, num_items=len(items), cut=cut),
    )


def item_knn(interest: sparse.csr_array, *, settings: SourceSettings) -> NeighbourTable:
    """Cosine of items over users, of whom one with much interest says less about each item.

    With a damping of 0.5 it is the linear filter of Shen et al. 2021, "How powerful is graph convolution for recommendation?", on a graph where
    every user and every item has a little more interest than they have.
    """
    of_user = np.asarray(interest.sum(axis=1)).ravel() + settings.knn_user_shrinkage
    of_item = np.sqrt(np.asarray(interest.sum(axis=0), np.float32).ravel() + np.float32(settings.knn_item_shrinkage))
    weights = np.maximum(of_user, 1e-9) ** -settings.knn_user_damping
    weighted = sparse.csr_array(sparse.diags_array(weights.astype(np.float32)) @ interest)
    return alike(weighted, weighted, norms=(of_item, of_item), neighbours=settings.knn_neighbours)


def item_users(interest: sparse.csr_array, *, most: int) -> ItemUsers:
    """Who is interested in each item, on the damped graph; of a crowd the `most` with the largest weights, who chose little else."""
    by_item = damped(interest, users_added=USERS_ADDED, items_added=ITEMS_ADDED).T.tocsr()
    counts = np.diff(by_item.indptr)
    items, users = np.repeat(np.arange(len(counts), dtype=np.int32), counts), by_item.indices.astype(np.int32)
    crowded = np.repeat(counts > most, counts)
    strongest = strongest_of_each(items[crowded], users[crowded], by_item.data[crowded], neighbours=most)
    others = items[~crowded], users[~crowded], by_item.data[~crowded]
    items, users, weights = (np.concatenate(pair) for pair in zip(others, strongest, strict=True))
    order = np.lexsort((users, items))
    starts = np.searchsorted(items[order], np.arange(len(counts) + 1))
    return ItemUsers(starts.astype(np.int64), users[order], weights[order].astype(np.float32))


def next_items(log: InteractionLog, *, num_items: int, cut: int, settings: SourceSettings) -> NeighbourTable:
    """What was liked soon after an item, by the same user: unlike the other tables it knows before from after."""
    now, later = moments(
        log, num_items=num_items, cut=cut, ahead=settings.next_moments, decay_days=settings.next_decay_days
    )
    norms = _root_sums(now), _root_sums(later)
    return alike(now, later, norms=norms, neighbours=settings.next_neighbours, shrinkage=settings.next_shrinkage)


def content(items: ItemTable, *, settings: SourceSettings) -> NeighbourTable:
    """Items described alike: in the same words and, where the shop has vectors of them, by those. Knows items nobody has touched yet."""
    words = word_matrix(items.table, most_pairs=settings.content_pairs)
    by_word = sparse.csr_array(words.T)
    ones = np.ones(len(items), np.float32)
    in_words = alike(by_word, by_word, norms=(ones, ones), neighbours=settings.content_neighbours)
    spaces = spaces_of(items.table)
    return described_alike(words, in_words, spaces, neighbours=settings.content_neighbours) if spaces else in_words


def bought_together(log: InteractionLog, *, num_items: int, settings: SourceSettings) -> NeighbourTable:
    """Cosine of items over baskets."""
    baskets = basket_matrix(log, num_items=num_items)
    norms = _root_sums(baskets)
    return alike(
        baskets,
        baskets,
        norms=(norms, norms),
        neighbours=settings.basket_neighbours,
        shrinkage=settings.basket_shrinkage,
    )


def popularity(log: InteractionLog, *, num_items: int, cut: int, decay_days: float) -> Popularity:
    """Summed positive event weights, decayed and not."""
    weights = np.maximum(WEIGHT_OF_CODE[log.event_codes], 0)

    def summed(values: Floats) -> Floats:
        return np.bincount(log.item_rows, values, num_items).astype(np.float32)

    recent = summed(weights * decay(cut - log.occurred_at, decay_days))
    all_time = summed(weights)
    return Popularity(recent, all_time, recent / (all_time + 1))


def _root_sums(matrix: sparse.csr_array) -> Floats:
    """The root of each column's sum."""
    roots: Floats = np.sqrt(np.asarray(matrix.sum(axis=0), np.float32).ravel())
    return roots
