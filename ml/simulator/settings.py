"""What a demo shop is made of."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ShopSize = Literal["tiny", "demo", "large"]


class ShopSettings(BaseModel):
    """One shop: the same settings always give the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: ShopSize = Field(
        default="demo",
        description="tiny: about 36 k events in 120 days (tests). demo: about 400 k. large: about 10 M.",
    )
    seed: int = Field(default=7, ge=0, lt=2**32, description="Of everything random: another seed is another shop.")
    opened_on: date = Field(default=date(2026, 3, 3), description="First day with events.")
    drift_from: date | None = Field(
        default=None,
        description="From this day on prices rise, other categories sell and fewer views become purchases. Null: never.",
    )


@dataclass(frozen=True)
class SizePlan:
    """How big a shop is after its first 120 days."""

    num_users: int
    num_items: int
    num_categories: int
    kinds_per_category: int
    num_brands: int
    dirt_share: float
    """Of the events, apart from bots."""
    bot_days: tuple[int, ...]
    """Days after opening, modulo 120, on which a bot comes."""


SIZES: dict[ShopSize, SizePlan] = {
    # One bot day is 3 % of a tiny shop's events: only one of them, and less other dirt, or the shop would be refused as unclean.
    "tiny": SizePlan(300, 200, 4, 3, 12, dirt_share=0.008, bot_days=(45,)),
    "demo": SizePlan(3_000, 1_500, 8, 5, 40, dirt_share=0.015, bot_days=(45, 95)),
    "large": SizePlan(80_000, 20_000, 20, 10, 300, dirt_share=0.018, bot_days=(45, 95)),
}
