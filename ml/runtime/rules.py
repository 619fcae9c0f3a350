"""What a shop may set of what is forbidden, limited and favoured."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Rows
from ml.features.history import SECONDS_PER_DAY
from ml.runtime.items import ItemTable


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


def boosts(items: ItemTable, rules: Rules, rows: Rows, *, at: int) -> Floats | None:
    """What each item's score is multiplied with `[len(rows)]`, at least 1; None when nothing is boosted.

    (1 + w exp(-age / d)) of the item's age times the same of its seller's; an unknown age gives 1.
    """
    factors = [
        1.0
        + weight * np.fmax(np.exp(-np.maximum(at - born[rows], 0.0) / (days * SECONDS_PER_DAY)), 0.0)  # of NaN and 0: 0
        for weight, days, born in (
            (rules.freshness_boost, rules.freshness_days, items.born),
            (rules.new_seller_boost, rules.new_seller_days, items.seller_born),
        )
        if weight
    ]
    return np.prod(factors, axis=0).astype(np.float32) if factors else None
