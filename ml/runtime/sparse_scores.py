"""Scores of a few items out of many."""

from dataclasses import dataclass
from threading import local
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.runtime.kernel import Kernel, address, compiled, require_memory
from ml.runtime.order import falling


@dataclass(frozen=True)
class SparseScores:
    """Items and their scores `[num_scored]`, by ascending row; every other item scores 0."""

    rows: Rows
    scores: Floats

    @classmethod
    def summed(cls, rows: Rows, scores: Floats) -> Self:
        """Add up the scores of rows that occur several times."""
        kernel = compiled()
        if kernel is not None:
            return cls._by_kernel(rows, scores, kernel)
        if not len(rows):
            return cls.none()
        ascending = np.sort(rows)
        unique = ascending[np.concatenate([[True], ascending[1:] != ascending[:-1]])]
        sums = _SUMS.at_least(int(unique[-1]) + 1)
        np.add.at(sums, rows, scores.astype(np.float64))
        found = cls(unique.astype(np.int32), sums[unique].astype(np.float32))
        sums[unique] = 0.0
        return found

    @classmethod
    def _by_kernel(cls, rows: Rows, scores: Floats, kernel: Kernel) -> Self:
        rows, scores = np.ascontiguousarray(rows, np.int32), np.ascontiguousarray(scores, np.float32)
        found = cls(np.empty_like(rows), np.empty_like(scores))
        count = require_memory(
            kernel.sum_by_row(
                address(rows, np.int32), address(scores, np.float32), len(rows),
                address(found.rows, np.int32), address(found.scores, np.float32),
            )
        )  # fmt: skip
        return cls(found.rows[:count], found.scores[:count])

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))

    def top(self, k: int, allowed: NDArray[np.bool_]) -> Rows:
        """The rows of the `k` best positive scores among the allowed `[num_items]`, best first; equal scores by row."""
        kept = (self.scores > 0) & allowed[self.rows]
        rows, scores = self.rows[kept], self.scores[kept]
        if 0 < k < len(rows):
            enough = scores >= np.partition(scores, -k)[-k]
            rows, scores = rows[enough], scores[enough]
        return rows[falling(scores)[:k]]

    def at(self, rows: Rows) -> Floats:
        """Scores of the rows asked for `[len(rows)]`, 0 where unscored."""
        if not len(self.rows):
            return np.zeros(len(rows), np.float32)
        positions = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[positions] == rows, self.scores[positions], np.float32(0))


class _Sums(local):
    """A place for every item, all zero between two uses: adding up in it costs a third of grouping by a sort. Each thread has its own."""

    def __init__(self) -> None:
        self._places: NDArray[np.float64] = np.zeros(0)

    def at_least(self, size: int) -> NDArray[np.float64]:
        if len(self._places) < size:
            self._places = np.zeros(size)
        return self._places


_SUMS = _Sums()
