"""How much attention items and sellers find already, beside an even share: what a boost for the less exposed goes by.

Attention is the interest that decides popularity (views, carts and purchases, each counting less as it ages). It is known in every
shop; what was shown is not, where the shop keeps no log of impressions.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows


@dataclass(frozen=True)
class Exposure:
    """Of every item of a catalogue."""

    interest: Floats
    """`[num_items]` recent interest."""
    available: NDArray[np.bool_]
    """`[num_items]` what may be shown: the even share is theirs."""
    sellers: Rows
    """`[num_items]`, -1 without one."""

    @cached_property
    def of_items(self) -> Floats:
        """Interest of each item over the mean one: 1 is an even share, 0 none `[num_items]`; all 1 where nobody is interested in anything."""
        return self._over_the_mean(self.interest)

    @cached_property
    def of_sellers(self) -> Floats:
        """The same for the mean item of each item's seller; 1 for an item without one `[num_items]`."""
        num_sellers = int(self.sellers.max(initial=-1)) + 2
        groups = np.where(self.available, self.sellers, -1) + 1
        items = np.maximum(np.bincount(groups, minlength=num_sellers), 1)
        means = (np.bincount(groups, self.interest, num_sellers) / items).astype(np.float32)
        return np.where(self.sellers >= 0, self._over_the_mean(means)[self.sellers + 1], np.float32(1))

    def _over_the_mean(self, interest: Floats) -> Floats:
        mean = self.interest[self.available].mean() if self.available.any() else 0.0
        return (interest / mean).astype(np.float32) if mean > 0 else np.ones_like(interest)
