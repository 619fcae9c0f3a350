"""Item-to-item weights: the common shape of item-kNN, EASE and bought-together."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import BundleError
from ml.contract.types import Floats, Rows, Seconds
from ml.runtime.kernel import address
from ml.runtime.mapped import mapped
from ml.runtime.sparse_scores import SparseScores


@dataclass(frozen=True)
class NeighbourTable:
    """For each item its strongest neighbours, the strongest first. Holds no padding: of a million items most have few."""

    starts: Seconds
    """`[num_items + 1]`: item i's neighbours are the slice `starts[i]:starts[i + 1]` of the two below."""
    rows: Rows
    weights: Floats

    @classmethod
    def of_pairs(cls, items: Rows, neighbours: Rows, weights: Floats, *, num_items: int) -> Self:
        """Of pairs ordered by item, and of one item by strength."""
        starts = np.searchsorted(items, np.arange(num_items + 1))
        return cls(starts.astype(np.int64), neighbours.astype(np.int32), weights.astype(np.float32))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def addresses(self) -> tuple[int, int, int]:
        """Of starts, rows and weights, for the kernel."""
        return address(self.starts, np.int64), address(self.rows, np.int32), address(self.weights, np.float32)

    @property
    def num_linked(self) -> int:
        """Items with at least one neighbour."""
        return int(np.count_nonzero(np.diff(self.starts)))

    def of(self, item: int) -> tuple[Rows, Floats]:
        """Neighbours of one item and their weights."""
        mine = slice(self.starts[item], self.starts[item + 1])
        return self.rows[mine], self.weights[mine]

    def scores(self, items: Rows, strengths: Floats) -> SparseScores:
        """What the neighbours of `items [n]` add up to, each item counting with its strength `[n]`."""
        counts = self.starts[items + 1] - self.starts[items]
        places = _ranges(self.starts[items], counts)
        return SparseScores.summed(self.rows[places], self.weights[places] * np.repeat(strengths, counts))

    def save(self, folder: Path) -> None:
        folder.mkdir()
        for part in _PARTS:
            np.save(folder / f"{part}.npy", getattr(self, part))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-mapped: the processes of one machine share it, and opening it copies nothing.

        Raises:
            BundleError: its lists point outside its own items.
        """
        if not folder.is_dir():
            return cls._of_archive(folder.with_name(f"{folder.name}.npz"))
        table = cls(*(mapped(folder / f"{part}.npy") for part in _PARTS))
        table._require_whole(folder)
        return table

    @classmethod
    def _of_archive(cls, path: Path) -> Self:
        """Of a bundle from before tables were mapped."""
        with np.load(path, allow_pickle=False) as arrays:
            if "starts" not in arrays:  # rows padded with -1 `[num_items, neighbours]`
                return cls._of_padded(arrays["rows"], arrays["weights"])
            table = cls(*(arrays[part] for part in _PARTS))
        table._require_whole(path)
        return table

    def _require_whole(self, path: Path) -> None:
        ends = int(self.starts[0]), int(self.starts[-1])
        inside = not len(self.rows) or 0 <= int(self.rows.min()) <= int(self.rows.max()) < len(self)
        if (
            ends != (0, len(self.rows))
            or len(self.rows) != len(self.weights)
            or (np.diff(self.starts) < 0).any()
            or not inside
        ):
            raise BundleError(
                f"{path.name} must hold lists of neighbours of its own {len(self)} items, one after the other. "
                "Received: lists that point elsewhere. Re-materialise `candidate_sources`."
            )

    @classmethod
    def _of_padded(cls, rows: Rows, weights: Floats) -> Self:
        real = rows >= 0
        return cls.of_pairs(np.nonzero(real)[0].astype(np.int32), rows[real], weights[real], num_items=len(rows))


_PARTS = ("starts", "rows", "weights")


def _ranges(starts: Seconds, counts: Seconds) -> NDArray[np.int64]:
    """The positions of several slices one after the other.

    >>> _ranges(np.array([4, 0]), np.array([2, 3])).tolist()
    [4, 5, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
