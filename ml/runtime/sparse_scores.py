"""Scores of a few items out of many."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ml.contract.types import Floats, Rows


@dataclass(frozen=True)
class SparseScores:
    """Items and their scores `[num_scored]`, by ascending row; every other item scores 0."""

    rows: Rows
    scores: Floats

    @classmethod
    def summed(cls, rows: Rows, scores: Floats) -> Self:
        """Add up the scores of rows that occur several times."""
        unique, inverse = np.unique(rows, return_inverse=True)
        return cls(unique.astype(np.int32), np.bincount(inverse, scores, len(unique)).astype(np.float32))

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))

    def top(self, k: int) -> Rows:
        """The rows of the `k` best positive scores, best first; equal scores by row."""
        positive = self.scores > 0
        rows, scores = self.rows[positive], self.scores[positive]
        return rows[np.lexsort((rows, -scores))[:k]]

    def at(self, rows: Rows) -> Floats:
        """Scores of the rows asked for `[len(rows)]`, 0 where unscored."""
        if not len(self.rows):
            return np.zeros(len(rows), np.float32)
        positions = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[positions] == rows, self.scores[positions], np.float32(0))
