"""A catalogue and where the candidate tower puts each of its items."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ml.contract.types import Floats
from ml.runtime.items import ItemTable


@dataclass(frozen=True)
class ItemVectors:
    """Row i of both is the same item."""

    items: ItemTable
    vectors: Floats
    """`[num_items, dimension]`, unit length. Memory-mapped when loaded."""

    def save(self, folder: Path) -> None:
        self.items.save(folder / "items.arrow")
        np.save(folder / "vectors.npy", self.vectors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(
            ItemTable.load(folder / "items.arrow"), np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        )

    def summary(self) -> dict[str, int | float]:
        return {
            "items": len(self.items),
            "available_items": int(self.items.available.sum()),
            "dimension": self.vectors.shape[1],
            "mean_cosine_between_items": self.mean_cosine,
        }

    @property
    def mean_cosine(self) -> float:
        """Near 1 the tower has collapsed: every item at the same place."""
        return float(np.linalg.norm(self.vectors.mean(axis=0)) ** 2)
