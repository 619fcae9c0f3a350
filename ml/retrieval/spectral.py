"""Factors of the matrix of who chose what: where the towers begin, and what stands beside what they learn. Knows no TensorFlow."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from ml.candidates.low_rank import damped, leading, low_pass
from ml.contract.types import Floats
from ml.dataset.examples import ExampleSource
from ml.features.transforms import unit_rows
from ml.retrieval.settings import RetrieverSettings

if TYPE_CHECKING:
    from ml.retrieval.multitask import MultitaskModel

POPULARITY = 0.15
"""Product that an item e times as common is ahead by. A softmax at temperature 0.1 learns 0.1; on Gowalla 0.1 and 0.15 find
equally much (.167, .168), 0.05 and 0.2 less (.153, .148). The greater, because a user's history joins their vector and has little of it."""


LIKES_POPULAR = 0.5
"""Where every user's vector meets popularity, beside a mean of unit vectors. Before any step, on what the published train part of
Gowalla holds back, recall@20 is .087 with 0, .133 with .25, .143 with .5, .136 with 1; on Amazon Beauty .077, .084, .085, .080."""


class FirstVectors(NamedTuple):
    """First vectors by embedding index; row 0, "unknown", and whoever has no example are zeros."""

    users: Floats
    """`[num_users + 1, d]`."""
    items: Floats
    """`[num_items + 1, d]`."""


def chosen_in(examples: ExampleSource, settings: RetrieverSettings) -> sparse.csr_array:
    """Who chose what, once or often, by the rows of the towers' tables `[num_users + 1, num_items + 1]`."""
    item_indexes = examples.candidates.ids[:, 0]
    epoch = examples.batches(batch_size=settings.batch_size, seed=settings.seed, epoch=0)
    pairs = [(batch.queries.ids[:, 0], item_indexes[batch.item_rows]) for batch in epoch]
    users, items = (np.concatenate(each) for each in zip(*pairs, strict=True))
    shape = examples.encoder.query_sizes[0], examples.encoder.candidate_sizes[0]
    chosen = sparse.csr_array((np.ones(len(users), np.float32), (users, items)), shape=shape)
    chosen.data[:] = 1.0  # once or often: choosing again says little about taste
    return chosen


def first_vectors(chosen: sparse.csr_array, *, dim: int, seed: int) -> FirstVectors:
    """Vectors whose products say who goes with what `[num_users, dim], [num_items, dim]`.

    The first `dim - 1` columns are directions: those of the largest singular values of D_u^-1/2 R D_i^-1/2, which are the
    smoothest signals on the graph of users and items. Shen et al. 2021, "How powerful is graph convolution for
    recommendation?", section 4. The last is the log of an item's popularity, which a direction cannot hold.
    """
    per_user, per_item = (np.asarray(chosen.sum(axis=axis), np.float32) for axis in (1, 0))
    graph = damped(chosen, users_added=0.0, items_added=0.0)
    directions = leading(graph, dim - 1, seed=seed)
    users, items = unit_rows(graph @ directions), unit_rows(directions)
    common = np.log(np.maximum(per_item, 1.0))
    common -= common[per_item > 0].mean() if per_item.any() else 0.0
    popularity = np.where(per_item > 0, POPULARITY * common, 0.0)
    return FirstVectors(
        np.column_stack([users, (per_user > 0).astype(np.float32)]),
        np.column_stack([items, popularity.astype(np.float32)]),
    )


def item_factors(chosen: sparse.csr_array, *, dim: int, seed: int) -> Floats:
    """What the towers know of items without learning `[num_items, dim + 1]`: the table of `ml.retrieval.towers.Factors`.

    The first `dim` columns are an item's factors, at most 1 long, the last is how much it says of who chose it. An item nobody chose has
    neither.
    """
    vectors, says = low_pass(chosen, rank=dim, seed=seed)
    longest = np.linalg.norm(vectors, axis=1).max(initial=1e-6)
    table: Floats = np.column_stack([vectors / longest, says]).astype(np.float32)
    return table


def start_from(items: Floats, model: "MultitaskModel") -> None:
    """Put the items' first vectors into the towers, and silence what would drown them until it has learned something.

    Users get none. Theirs would be made of the very items they are about to be taught: with it the training loss of Amazon
    Beauty fell to 3.2 in 8 epochs and NDCG@10 was .0475, without it 4.2 in 5 epochs and .0566. The mean of a history, which leaves out the item
    asked for, says the same of a user honestly. All they start with is that they like what is popular.
    """
    vectors = model.candidate_tower.item_table.embeddings
    known = np.any(items != 0, axis=1, keepdims=True)
    vectors.assign(np.where(known, items, vectors.numpy()))
    users = model.query_tower.user_table.embeddings
    drawn = users.numpy()
    drawn[:, -1] = LIKES_POPULAR
    users.assign(drawn)
    for tower in (model.query_tower, model.candidate_tower):
        kernel = tower.mlp.layers[-1].kernel
        kernel.assign(np.zeros(kernel.shape, np.float32))
