"""Who is interested in each item: scores any item by the people alike who want it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from ml.contract.errors import BundleError
from ml.contract.types import Floats, Rows, Seconds
from ml.runtime.interest import Interest
from ml.runtime.kernel import Kernel, address, compiled, require_memory
from ml.runtime.mapped import mapped


@dataclass(frozen=True)
class ItemUsers:
    """User-based nearest neighbours. Likeness of somebody u to the one who asks is the sum of strength x weight(u, liked); an item's score is
    the sum of likeness(u) ** 1.5 x weight(u, item) over everybody.

    The exponent makes what those most alike want count for more, as the q of Aiolli 2013, "Efficient top-N recommendation for very large
    scale binary rated datasets"; with 1 this would be the linear filter that `item_knn` keeps the strongest part of.
    """

    starts: Seconds
    """`[num_items + 1]`: who is interested in item i is the slice `starts[i]:starts[i + 1]` of the two below."""
    users: Rows
    """Numbers of this table's own: they lead back to nobody."""
    weights: Floats
    """Not negative."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def num_users(self) -> int:
        return int(self.users.max(initial=-1)) + 1

    def scores_into(self, column: Floats, interest: Interest, rows: Rows) -> None:
        """Write the score of each of `rows` into a column of a larger array `[len(rows)]`."""
        kernel = compiled()
        if kernel is None:
            column[:] = self.by_numpy(interest, rows)
        else:
            self.by_kernel(column, interest, rows, kernel)

    def by_kernel(self, column: Floats, interest: Interest, rows: Rows, kernel: Kernel) -> None:
        require_memory(
            kernel.score_by_users(
                *self._addresses, self.num_users, address(interest.rows, np.int32), address(interest.strengths, np.float32),
                len(interest.rows), address(rows, np.int32), len(rows), column.ctypes.data, column.strides[0] // column.itemsize,
            )
        )  # fmt: skip

    def by_numpy(self, interest: Interest, rows: Rows) -> Floats:
        alike = np.zeros(self.num_users, np.float32)
        for row, strength in zip(interest.rows.tolist(), interest.strengths, strict=True):
            of_item = self._of(row)
            alike[self.users[of_item]] += strength * self.weights[of_item]  # nobody is there twice
        alike *= np.sqrt(alike)
        found = np.zeros(len(rows), np.float32)
        for place, row in enumerate(rows.tolist()):
            of_item = self._of(row)
            wanted = alike[self.users[of_item]] * self.weights[of_item]
            found[place] = wanted.cumsum()[-1] if len(wanted) else 0  # one after the other, as C does
        return found

    def save(self, folder: Path) -> None:
        folder.mkdir()
        for part in _PARTS:
            np.save(folder / f"{part}.npy", getattr(self, part))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-mapped.

        Raises:
            BundleError: its lists do not lie one after the other, or name somebody below 0.
        """
        table = cls(*(mapped(folder / f"{part}.npy") for part in _PARTS))
        ends = int(table.starts[0]), int(table.starts[-1])
        whole = ends == (0, len(table.users)) and len(table.users) == len(table.weights)
        if not whole or (np.diff(table.starts) < 0).any() or int(table.users.min(initial=0)) < 0:
            raise BundleError(
                f"{folder.name} must hold who is interested in each of {len(table)} items, one list after the other. "
                "Received: lists that lie elsewhere. Re-materialise `candidate_sources`."
            )
        return table

    def _of(self, item: int) -> slice:
        return slice(self.starts[item], self.starts[item + 1])

    @cached_property
    def _addresses(self) -> tuple[int, int, int]:
        return address(self.starts, np.int64), address(self.users, np.int32), address(self.weights, np.float32)


_PARTS = ("starts", "users", "weights")
