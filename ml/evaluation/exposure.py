"""Who gets the places of many lists. The exposure of place p is 1 / log2(p + 1), the discount of NDCG: attention falls with the place
(Singh and Joachims 2018, "Fairness of Exposure in Rankings", allot exposure by such a position bias)."""

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Rows


def exposure_of_items(recommended: Rows, *, num_items: int, k: int) -> NDArray[np.float64]:
    """What each item gets of the first k places of all lists `[num_items]`; empty places (-1) give nothing.

    Two lists show item 0 first, one shows item 2 second:

    >>> exposure = exposure_of_items(np.array([[0, 2], [0, -1]], np.int32), num_items=3, k=2)
    >>> exposure.tolist() == [2 / np.log2(2), 0.0, 1 / np.log2(3)]
    True
    """
    top = recommended[:, :k]
    places = np.broadcast_to(1 / np.log2(np.arange(2, top.shape[1] + 2)), top.shape)
    filled = top >= 0
    return np.bincount(top[filled], places[filled], num_items).astype(np.float64)


def share_of(exposure: NDArray[np.float64], group: NDArray[np.bool_]) -> float | None:
    """Share of all exposure that a group of items gets; None when nothing was shown.

    >>> share_of(np.array([3.0, 1.0]), np.array([False, True]))
    0.25
    """
    total = exposure.sum()
    return float(exposure[group].sum() / total) if total > 0 else None


def gini(exposure: NDArray[np.float64]) -> float | None:
    """How unevenly exposure is spread: 0 when every item gets the same, (n - 1) / n when one of n gets all; None when nothing was shown.

    With e ascending: sum over i = 1..n of (2 i - n - 1) e_i, over n times the sum of e.

    >>> gini(np.array([1.0, 1.0, 1.0])), gini(np.array([0.0, 0.0, 5.0, 0.0]))
    (0.0, 0.75)
    """
    total, size = exposure.sum(), len(exposure)
    if not total > 0:
        return None
    return float(((2 * np.arange(1, size + 1) - size - 1) * np.sort(exposure)).sum() / (size * total))
