"""Draws with given odds, many at once."""

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows

_BLOCK = 1 << 16
"""Rows handled at a time: bounds memory, and what fits a cache is faster."""


def draw_columns(rng: np.random.Generator, weights: Floats, rows: Rows) -> Rows:
    """A column for each of `rows`, that row's weights as odds `[num_rows, m], [n] -> [n]`."""
    chances = rng.random(len(rows), dtype=np.float32)
    drawn = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        bounds = np.cumsum(weights[rows[block]], axis=1)
        drawn[block] = _column_below(bounds, chances[block] * bounds[:, -1])
    return drawn


def draw_by_taste(rng: np.random.Generator, tastes: Floats, appeal: Floats, quality: Floats) -> Rows:
    """A softmax choice of each user among the same few items `[n, k], [m, k], [m] -> [n]`."""
    utility = tastes @ appeal.T + quality
    bounds = np.cumsum(np.exp(utility - utility.max(axis=1, keepdims=True)), axis=1)
    return _column_below(bounds, rng.random(len(tastes), dtype=np.float32) * bounds[:, -1])


def _column_below(bounds: Floats, marks: Floats) -> Rows:
    # Rounding can put the mark on the last bound: the last column with a weight is meant then.
    found = (bounds <= marks[:, None]).sum(axis=1)
    return np.minimum(found, bounds.shape[1] - 1).astype(np.int32)


def sigmoid(x: Floats) -> Floats:
    return (1 / (1 + np.exp(-x))).astype(np.float32, copy=False)


def happens(rng: np.random.Generator, chances: Floats | float, count: int) -> NDArray[np.bool_]:
    """Independent yes or no `[count]`."""
    return rng.random(count, dtype=np.float32) < chances
