"""Item-to-item weights: the common shape of item-kNN, EASE and bought-together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ml.contract.types import Floats, Rows
from ml.runtime.sparse_scores import SparseScores


@dataclass(frozen=True)
class NeighbourTable:
    """For each item its strongest neighbours; rows padded with -1 and weight 0."""

    rows: Rows
    """`[num_items, neighbours]`"""
    weights: Floats
    """`[num_items, neighbours]`"""

    def scores(self, items: Rows, strengths: Floats) -> SparseScores:
        """What the neighbours of `items [n]` add up to, each item counting with its strength `[n]`."""
        rows, weights = self.rows[items], self.weights[items] * strengths[:, None]
        real = rows >= 0
        return SparseScores.summed(rows[real], weights[real])

    def save(self, path: Path) -> None:
        np.savez(path, rows=self.rows, weights=self.weights)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["rows"], arrays["weights"])
