"""Randomness that needs no state: the same keys always give the same number, in any order and on any day."""

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def uniform_of(*keys: int | NDArray[np.integer]) -> NDArray[np.float64]:
    """Numbers in [0, 1) of the keys, broadcast against each other: splitmix64's finaliser over each key in turn.

    >>> uniform_of(7, np.arange(3)).tolist() == uniform_of(7, np.arange(3)).tolist()
    True
    """
    state = np.zeros((1,), np.uint64)
    for key in keys:
        state = _mixed(state + np.asarray(key).astype(np.int64).astype(np.uint64) + _STEP)
    return (state >> np.uint64(11)) / float(2**53)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
