"""Items as low-rank vectors of who chose what: scores any item for any interest, without a user's own vector."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.runtime.interest import Interest
from ml.runtime.likeness import scores_into, weighted_sum
from ml.runtime.mapped import mapped


@dataclass(frozen=True)
class ItemFactors:
    """An ideal low-pass filter on the graph of users and items: Shen et al. 2021, "How powerful is graph convolution for
    recommendation?", section 4. An item's score is `vectors[item] @ sum of strength x says[liked] x vectors[liked]`."""

    vectors: NDArray[np.float16]
    """`[num_items, rank]`; 0 of an item nobody is interested in."""
    says: Floats
    """`[num_items]` How much an item says of who likes it."""

    def scores(self, interest: Interest, rows: Rows) -> Floats:
        """Of the items asked about `[len(rows)]`."""
        found = np.empty(len(rows), np.float32)
        scores_into(found, self.vectors, rows, self.query(interest))
        return found

    def query(self, interest: Interest) -> Floats:
        """What an item's vector is multiplied with `[rank]`."""
        weights = interest.strengths * self.says[interest.rows]
        return weighted_sum(self.vectors, interest.rows, weights.astype(np.float32, copy=False))

    def save(self, folder: Path) -> None:
        np.save(folder / "factors.npy", self.vectors)
        np.save(folder / "says.npy", self.says)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(mapped(folder / "factors.npy"), mapped(folder / "says.npy"))
