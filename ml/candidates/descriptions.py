"""Items that are described alike, in words and by the vectors a shop has of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from scipy import sparse

from ml.candidates.likeness import strongest_of_each
from ml.contract.types import Floats, Rows, Seconds
from ml.features.embeddings import Directions, embedding, embedding_names
from ml.features.transforms import unit_rows
from ml.runtime.neighbours import NeighbourTable

NUMBERS = 128
"""Directions of a vector column that likeness is computed in."""
EXACT_ITEMS = 50_000
"""Of more items only those in the nearest parts of the space are compared: all pairs of a million are a million million."""
PARTS_SEARCHED = 8
ROUNDS = 5
BLOCK = 1_024
PAIRS_AT_ONCE = 1_000_000


def spaces_of(items: pa.Table) -> list[Floats]:
    """Of each vector column where the items lie as seen from their mean `[num_items, d]`: rows of length 1, zeros without a vector.

    From the mean, because vectors of one encoder share most of their direction: the features of any two pictures have a cosine of
    a half or more.
    """
    columns = (embedding(items, name) for name in embedding_names(items))
    return [unit_rows(Directions.fit(column, at_most=NUMBERS).along(column)) for column in columns]


def described_alike(
    words: sparse.csr_array, in_words: NeighbourTable, spaces: Sequence[Floats], *, neighbours: int
) -> NeighbourTable:
    """Of each item those with the highest mean of the cosines of words and of vectors, over those of them that both items have.

    Considered are the nearest by any one of these.

    Args:
        words: rows of length 1, empty without words `[num_items, num_words]`.
        in_words: the nearest by words alone.
        spaces: as `spaces_of` gives them.
    """
    num_items = words.shape[0]
    owners = np.repeat(np.arange(num_items, dtype=np.int64), np.diff(in_words.starts))
    pairs = [owners * num_items + in_words.rows]
    for space in spaces:
        pairs += [mine * num_items + others for mine, others in nearest(space, neighbours)]
    items, others = np.divmod(np.unique(np.concatenate(pairs)), num_items)
    blocks = range(0, len(items), PAIRS_AT_ONCE)
    found = [_likeness(words, spaces, items[at : at + PAIRS_AT_ONCE], others[at : at + PAIRS_AT_ONCE]) for at in blocks]
    likeness = np.concatenate([np.empty(0, np.float32), *found])
    real = likeness > 0
    items, others = items[real].astype(np.int32), others[real].astype(np.int32)
    kept = strongest_of_each(items, others, likeness[real], neighbours=neighbours)
    return NeighbourTable.of_pairs(*kept, num_items=num_items)


def nearest(space: Floats, neighbours: int, *, exact_items: int = EXACT_ITEMS) -> Iterator[tuple[Seconds, Seconds]]:
    """Items and, of each, others with the largest positive cosines, no item its own; in pieces."""
    known = np.flatnonzero(np.any(space != 0, axis=1))
    if len(known) <= exact_items:
        for start in range(0, len(known), BLOCK):
            yield _nearest_among(space, known[start : start + BLOCK], known, neighbours)
        return
    centres, part_of = _parts(space, known, count=round(len(known) ** 0.5))
    members = [known[part_of == part] for part in range(len(centres))]
    for part, mine in enumerate(members):
        around = np.argsort(-(centres @ centres[part]), kind="stable")[:PARTS_SEARCHED]
        among = np.concatenate([members[other] for other in around])
        for start in range(0, len(mine), BLOCK):
            yield _nearest_among(space, mine[start : start + BLOCK], among, neighbours)


def _nearest_among(space: Floats, items: Seconds, among: Seconds, neighbours: int) -> tuple[Seconds, Seconds]:
    cosines = np.where(items[:, None] == among, -np.inf, space[items] @ space[among].T)
    k = min(neighbours, len(among))
    found = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    positive = np.take_along_axis(cosines, found, axis=1) > 0
    return np.repeat(items, positive.sum(axis=1)), among[found[positive]]


def _parts(space: Floats, known: Seconds, *, count: int, seed: int = 0) -> tuple[Floats, Rows]:
    """Centres of the space's parts `[count, d]`, and the part of each known item: k-means by cosine, on a sample."""
    centres = space[np.random.default_rng(seed).choice(known, count, replace=False)]
    sample = known[:: max(len(known) // (64 * count), 1)]
    for _ in range(ROUNDS):
        part_of = _nearest_centre(space, sample, centres)
        summed = sparse.csr_array(
            (np.ones(len(sample), np.float32), (part_of, np.arange(len(sample)))), shape=(count, len(sample))
        )
        moved = unit_rows(summed @ space[sample])
        filled = np.any(moved != 0, axis=1)
        centres[filled] = moved[filled]
    return centres, _nearest_centre(space, known, centres)


def _nearest_centre(space: Floats, items: Seconds, centres: Floats) -> Rows:
    blocks = (items[start : start + BLOCK] for start in range(0, len(items), BLOCK))
    return np.concatenate([(space[block] @ centres.T).argmax(axis=1) for block in blocks]).astype(np.int32)


def _likeness(words: sparse.csr_array, spaces: Sequence[Floats], items: Seconds, others: Seconds) -> Floats:
    has_words = np.diff(words.indptr) > 0
    summed = np.asarray(words[items].multiply(words[others]).sum(axis=1), np.float32).ravel()
    compared = (has_words[items] & has_words[others]).astype(np.float32)
    for space in spaces:
        mine, theirs = space[items], space[others]
        summed += np.einsum("ij,ij->i", mine, theirs)
        compared += np.any(mine != 0, axis=1) & np.any(theirs != 0, axis=1)
    mean: Floats = (summed / np.maximum(compared, 1)).astype(np.float32)
    return mean
