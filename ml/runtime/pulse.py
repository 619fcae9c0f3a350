"""What moves an item just now, and how soon people come back for it: one table of the catalogue at a cut."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ml.contract.types import Floats
from ml.runtime.mapped import mapped

PULSE = (
    "events_1d",
    "events_3d",
    "buyers_3d",
    "buyers_14d",
    "buyers_60d",
    "trend_14d",
    "new_buyers_28d",
    "returning_buyers_28d",
    "returning_rate_28d",
    "returning_share",
    "days_between_purchases",
)
"""Events that speak for the item in the last days; occasions it was bought on (a user's days with it); those of the last 14 days over
what the 46 days before would lead one to expect; of the last 28 days the first and the further occasions of their users, and the
latter over all who ever bought it; the share of its buyers who came back, and after how many days: never 0,
as few returns are drawn towards the mean of all items."""


@dataclass(frozen=True)
class Pulse:
    """As known at the bundle's cut. Where nothing was ever bought, "bought" is the heaviest kind of event the shop knows."""

    values: Floats
    """`[num_items, len(PULSE)]`"""

    def save(self, path: Path) -> None:
        np.save(path, self.values)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(mapped(path))
