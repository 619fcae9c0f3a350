"""What a list is worth besides hitting: how much of the catalogue is shown, how far from the obvious, how varied."""

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.evaluation.ranking_metrics import PerUser


def catalogue_coverage_at_k(recommended: Rows, recommendable: NDArray[np.bool_], *, k: int) -> float | None:
    """Share of the recommendable items that stand in at least one first-k list; None when nothing is recommendable.

    Items 0 and 1 of four are shown to somebody:

    >>> catalogue_coverage_at_k(np.array([[0, 1], [1, -1]], np.int32), np.ones(4, bool), k=2)
    0.5
    """
    if not recommendable.any():
        return None
    top = recommended[:, :k]
    shown = np.unique(top[top >= 0])
    return float(recommendable[shown].sum() / recommendable.sum())


def novelty_at_k(recommended: Rows, popularity: NDArray[np.floating], *, k: int) -> PerUser:
    """Mean self-information of the first k items in bits: -log2 p(item), p = (popularity + 1) / sum(popularity + 1).

    The 1 gives an item never sold a finite surprise. NaN for an empty list.

    Args:
        popularity: times each item was bought in the past `[num_items]`.

    Three items bought 2, 1 and 1 times have p = 3/7, 2/7, 2/7:

    >>> value = novelty_at_k(np.array([[0, 1]], np.int32), np.array([2.0, 1.0, 1.0]), k=2)
    >>> value.tolist() == [(-np.log2(3 / 7) - np.log2(2 / 7)) / 2]
    True
    """
    top = recommended[:, :k]
    information = -np.log2((popularity + 1) / (popularity + 1).sum())
    return _mean_of_filled(information[top], top >= 0)


def category_diversity_at_k(recommended: Rows, categories: Rows, *, k: int) -> PerUser:
    """Share of the pairs of the first k items whose categories differ; NaN for lists of fewer than two items.

    Args:
        categories: category row of each item `[num_items]`; -1, unknown, is a category like any other.

    Of the pairs of three items in categories a, a, b two differ:

    >>> category_diversity_at_k(np.array([[0, 1, 2]], np.int32), np.array([0, 0, 1], np.int32), k=3).tolist()
    [0.6666666666666666]
    """
    top = recommended[:, :k]
    first, second = np.triu_indices(top.shape[1], 1)
    differ = categories[top[:, first]] != categories[top[:, second]]
    return _mean_of_filled(differ, (top[:, first] >= 0) & (top[:, second] >= 0))


def intra_list_diversity_at_k(recommended: Rows, vectors: Floats, *, k: int) -> PerUser:
    """Mean of 1 - cosine over the pairs of the first k items (Ziegler et al. 2005, "Improving Recommendation Lists Through Topic
    Diversification", with likeness by vectors); NaN for lists of fewer than two items.

    Args:
        vectors: of each item, of unit length `[num_items, dimension]`.

    Of three items two point the same way and one is at right angles to both: pairs 0, 1 and 1.

    >>> vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> intra_list_diversity_at_k(np.array([[0, 1, 2]], np.int32), vectors, k=3).tolist()
    [0.6666666666666666]
    """
    top = recommended[:, :k]
    first, second = np.triu_indices(top.shape[1], 1)
    shown = vectors[np.maximum(top, 0)]
    cosines = (shown @ shown.transpose(0, 2, 1))[:, first, second].astype(np.float64)
    return _mean_of_filled(1 - cosines, (top[:, first] >= 0) & (top[:, second] >= 0))


def _mean_of_filled(values: NDArray[np.floating] | NDArray[np.bool_], filled: NDArray[np.bool_]) -> PerUser:
    counts = filled.sum(axis=1)
    means: PerUser = np.where(filled, values, 0).sum(axis=1) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan)
