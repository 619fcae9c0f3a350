"""What a shop may set of what is forbidden, limited and favoured."""

from functools import reduce
from math import prod

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Rows
from ml.features.history import SECONDS_PER_DAY
from ml.runtime.exposure import Exposure
from ml.runtime.items import ItemTable
from ml.runtime.kernel import Kernel, address, compiled


class Rules(BaseModel):
    """Travels in the bundle, in `request.json`. What is out of stock or hidden is never shown, whatever is set here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_per_category_in_top_10: int | None = Field(
        None, ge=1, description="At most so many items of one category among the first ten; null sets no limit."
    )
    max_per_seller_in_top_10: int | None = Field(
        None, ge=1, description="At most so many items of one seller among the first ten; null sets no limit."
    )
    exclude_purchased: bool = Field(False, description="Leave out what the user bought. Off where people buy again.")
    repeatable: tuple[str, ...] = Field(
        (), description="Categories and sub-categories of goods that are shown again though bought."
    )
    repurchase_after_days: float | None = Field(
        None, gt=0, description="What was bought may return after so many days; null: never."
    )
    exclude_in_cart: bool = Field(True, description="Leave out what lies in the user's cart.")
    cart_days: float = Field(1.0, gt=0, description="An item leaves a forgotten cart after so many days.")
    recently_shown_hours: float | None = Field(
        None, gt=0, description="Leave out what the user was shown so recently; null shows it again."
    )
    freshness_boost: float = Field(
        0.0, ge=0, le=1, description="w of score x (1 + w x exp(-age / `freshness_days`)); 0.1 is common, 0 is off."
    )
    freshness_days: float = Field(30.0, gt=0, description="The boost of a new item falls by e every so many days.")
    new_seller_boost: float = Field(
        0.0, ge=0, le=1, description="The same for the seller's age: the days since their first item was known."
    )
    new_seller_days: float = Field(30.0, gt=0, description="The boost of a new seller falls by e every so many days.")
    exposure_boost: float = Field(
        0.0,
        ge=0,
        le=1,
        description="w of score x (1 + w x (1 - exposure)), where an item finds less interest than the mean item: exposure is its "
        "interest over the mean one.",
    )
    seller_exposure_boost: float = Field(
        0.0, ge=0, le=1, description="The same for the exposure of the seller's mean item."
    )

    @property
    def most_boost(self) -> float:
        """What no boost exceeds."""
        weights = (self.freshness_boost, self.new_seller_boost, self.exposure_boost, self.seller_exposure_boost)
        return prod(1.0 + weight for weight in weights)


def boosts(items: ItemTable, rules: Rules, rows: Rows, *, at: int, exposure: Exposure) -> Floats | None:
    """What each item's score is multiplied with `[len(rows)]`, at least 1; None when nothing is boosted.

    The product of (1 + w exp(-age / d)) for the age of the item and of its seller, and of (1 + w (1 - exposure)) for the item and
    its seller, as far as they find less than an even share of interest. What is not known gives 1.
    """
    young = (
        (rules.freshness_boost, rules.freshness_days, items.born),
        (rules.new_seller_boost, rules.new_seller_days, items.seller_born),
    )
    factors = [1.0 + weight * _youth(born, rows, at=at, days=days) for weight, days, born in young if weight]
    if rules.exposure_boost:
        factors.append(1.0 + rules.exposure_boost * np.maximum(1.0 - exposure.of_items[rows], 0.0))
    if rules.seller_exposure_boost:
        factors.append(1.0 + rules.seller_exposure_boost * np.maximum(1.0 - exposure.of_sellers[rows], 0.0))
    return reduce(np.multiply, factors).astype(np.float32) if factors else None


def _youth(born: NDArray[np.float64], rows: Rows, *, at: int, days: float) -> NDArray[np.float64]:
    """1 at birth, falls by e every so many days; 0 where no age is known."""
    kernel, seconds = compiled(), days * SECONDS_PER_DAY
    powers = (
        powers_by_numpy(born, rows, at, seconds)
        if kernel is None
        else powers_by_kernel(born, rows, at, seconds, kernel)
    )
    return np.fmax(np.exp(powers, out=powers), 0.0, out=powers)  # of NaN and 0: 0


def powers_by_kernel(
    born: NDArray[np.float64], rows: Rows, at: int, seconds: float, kernel: Kernel
) -> NDArray[np.float64]:
    """-age / seconds `[len(rows)]`."""
    powers = np.empty(len(rows))
    kernel.fading_powers(
        address(born, np.float64), address(rows, np.int32), len(rows), at, seconds, address(powers, np.float64)
    )
    return powers


def powers_by_numpy(born: NDArray[np.float64], rows: Rows, at: int, seconds: float) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = -np.maximum(at - born[rows], 0.0) / seconds
    return powers
