"""What an item was worth to a request: the ranker's goals mixed into one grade."""

import numpy as np

from ml.contract.types import Floats, Rows
from ml.dataset.outcomes import OUTCOMES
from ml.ranking.settings import RankerSettings

GRADES = 31
"""The highest grade; LightGBM wants whole numbers, and gains are linear in them."""


def grades(outcomes: Floats, settings: RankerSettings) -> Rows:
    """Grades of pairs `[n, len(OUTCOMES)] -> [n]`, 0 to `GRADES`: the weighted sum of what came of a pair over the most it could be.

    A pair that is worth anything has at least grade 1.
    """
    weights = np.array([getattr(settings, f"{name}_weight") for name in OUTCOMES], np.float32)
    worth = outcomes @ weights / weights.sum()
    return np.where(worth > 0, np.maximum(np.rint(worth * GRADES), 1), 0).astype(np.int32)


def request_weights(labels: Rows, group_sizes: Rows) -> Floats:
    """`[num_rows]` A request counts as much as the best that came of it: of a week with few buyers those who only looked help, and do not
    drown them."""
    best = np.maximum.reduceat(labels, np.cumsum(group_sizes) - group_sizes) / np.float32(GRADES)
    return np.repeat(best, group_sizes).astype(np.float32)
