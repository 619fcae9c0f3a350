"""What goes over the wire about what came of the lists."""

from datetime import date
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from serving.feedback.analytics import FunnelStep, Performance, Period


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ListPerformance(_Answer):
    """Lists of one day, surface and bundle."""

    day: date = Field(description="On which they were shown, UTC; what came of them later counts here.")
    surface: str = Field(examples=["homepage"])
    bundle_version: str = Field(examples=["2026-03-02-0a1b2c3d4e5f"])
    lists: int = Field(examples=[1200])
    impressions: int = Field(description="Places: items in lists.", examples=[14400])
    clicks: int = Field(description="Places clicked at least once.", examples=[610])
    cart_adds: int = Field(description="Places whose item went into the cart.", examples=[120])
    purchases: int = Field(description="Places whose item was bought.", examples=[44])
    ctr: float | None = Field(description="Clicks by impressions.", examples=[0.0424])
    conversion: float | None = Field(description="Purchases by impressions.", examples=[0.0031])
    revenue: float | None = Field(
        description="Price times quantity of what was bought from them; null when no purchase among it has a price.",
        examples=[812.4],
    )
    purchases_without_price: int = Field(description="Purchases that `revenue` lacks.", examples=[0])

    @classmethod
    def of(cls, row: Performance) -> Self:
        return cls(
            **vars(row), ctr=_share(row.clicks, row.impressions), conversion=_share(row.purchases, row.impressions)
        )


class PerformanceReport(_Answer):
    """What came of the lists of a period."""

    first_day: date = Field(description="UTC.", examples=["2026-11-15"])
    last_day: date = Field(description="UTC; it counts too.", examples=["2026-11-21"])
    window_days: int = Field(description="A purchase that names no list counts for the last click within so many days.")
    rows: tuple[ListPerformance, ...] = Field(description="By day, surface and bundle; none where nothing was shown.")
    dropped_lists: int = Field(
        description="Shown by this process since it began, and not written down because its log could not keep up. They are not in the rows.",
        examples=[0],
    )

    @classmethod
    def of(cls, rows: list[Performance], period: Period, *, window_days: int, dropped_lists: int) -> Self:
        return cls(
            first_day=period.first,
            last_day=period.last,
            window_days=window_days,
            rows=tuple(map(ListPerformance.of, rows)),
            dropped_lists=dropped_lists,
        )


class Step(_Answer):
    """How many came this far, having come through the steps before."""

    step: str = Field(examples=["cart_add"])
    visitors: int = Field(description="Users, and sessions of nobody known.", examples=[310])
    pairs: int = Field(description="Of a visitor and an item.", examples=[420])
    of_previous: float | None = Field(description="Share of the pairs of the step before.", examples=[0.12])
    of_first: float | None = Field(description="Share of the pairs of the first step.", examples=[0.12])


class FunnelReport(_Answer):
    """From a view to a purchase of the same item by the same visitor, all within the period."""

    first_day: date = Field(description="UTC.", examples=["2026-11-15"])
    last_day: date = Field(description="UTC; it counts too.", examples=["2026-11-21"])
    steps: tuple[Step, ...] = Field(description="`view`, `cart_add`, `purchase`, each at or after the one before.")
    bought_otherwise: int = Field(description="Pairs bought without those steps in this period.", examples=[17])

    @classmethod
    def of(cls, steps: list[FunnelStep], bought_otherwise: int, period: Period) -> Self:
        before = [None, *(step.pairs for step in steps)]
        return cls(
            first_day=period.first,
            last_day=period.last,
            steps=tuple(
                Step(
                    **vars(step),
                    of_previous=None if previous is None else _share(step.pairs, previous),
                    of_first=_share(step.pairs, steps[0].pairs),
                )
                for step, previous in zip(steps, before, strict=False)
            ),
            bought_otherwise=bought_otherwise,
        )


def _share(part: int, whole: int) -> float | None:
    """Null, not zero, where there is nothing to take a share of."""
    return part / whole if whole else None
