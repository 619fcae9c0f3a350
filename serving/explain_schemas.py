"""What goes over the wire about why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ml.runtime.explain import Explanation, Provenance
from ml.runtime.trace import RequestTrace


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class SourceSaid(_Said):
    """What one source said of an item."""

    source: str = Field(examples=["repurchase"])
    score: float = Field(description="In the source's own unit.", examples=[0.63])
    share: float = Field(description="Of the best score the source gave in this request.", examples=[1.0])
    proposed: bool = Field(description="False: another source proposed the item, and this one knows it too.")


class FeatureSaid(_Said):
    """What one feature added to the ranker's score."""

    feature: str = Field(examples=["own_purchase_days"])
    value: float | None = Field(description="Null where it was not known.", examples=[4.0])
    contribution: float = Field(description="Added to the score; TreeSHAP.", examples=[0.81])


class RankerSaid(_Said):
    """The ranker's score taken apart: score = base + contributions + others."""

    score: float = Field(examples=[1.37])
    base: float = Field(description="What every item starts from.", examples=[-0.9])
    contributions: tuple[FeatureSaid, ...] = Field(description="The ten that weigh most, the largest first.")
    others: float = Field(description="The sum of all further features.", examples=[0.12])


class LikenessSaid(_Said):
    """What diversity went by."""

    relevance: float = Field(
        description="How far its score lies on the way from the pool's lowest (0) to its highest (1).", examples=[0.8]
    )
    likeness: float = Field(description="Cosine to the item above that it is most like.", examples=[0.41])
    to_item_id: str | None = Field(
        serialization_alias="to_product_id",
        description="That item; null for the first, and where nothing above is like it.",
        examples=["22423"],
    )


class ItemExplained(_Said):
    """One item: who proposed it, how it was scored, what the rules did."""

    item_id: str = Field(serialization_alias="product_id", examples=["85123A"])
    position: int | None = Field(description="From 1; null when it was not shown.", examples=[1])
    score: float | None = Field(description="With boosts, as answered; null for what nobody proposed.", examples=[1.37])
    propensity: float | None = Field(description="Probability that its place held it.", examples=[1.0])
    sources: tuple[SourceSaid, ...] = Field(description="Everything that proposed it or knows it.")
    ranker: RankerSaid | None = Field(description="Null where a blend of the sources, or popularity, made the order.")
    taste: float = Field(
        description="On a list about items: what its relatedness was multiplied with because the visitor cared for it before; 1 is nothing.",
        examples=[1.0],
    )
    boost: float = Field(
        description="What being new, or less looked at than others, multiplied its strength with; 1 is nothing.",
        examples=[1.05],
    )
    place_by_score: int | None = Field(description="Where it would stand by its score alone, from 1.", examples=[1])
    diversity: LikenessSaid | None = Field(description="Null where diversity is off, or said nothing of it.")
    moved_by: tuple[str, ...] = Field(
        description="What put it elsewhere: `diversity`, `max_per_category_in_top_10`, `max_per_seller_in_top_10`, `exploration`.",
        examples=[[]],
    )
    removed_by: tuple[str, ...] = Field(description="Rules that forbade it.", examples=[["out_of_stock"]])


class MadeBy(_Said):
    """The release, its data and the run it came from. Null where the bundle does not say."""

    bundle_version: str = Field(examples=["2026-03-02-0a1b2c3d4e5f"])
    recipe: str | None = Field(description="Name of the recipe of its models.", examples=["default"])
    models_of: str | None = Field(description="The release its models come from, when only its tables were made anew.")
    data_start_at: datetime | None = Field(description="The first instant of its data.")
    cut_at: datetime | None = Field(description="Nothing later is in its data.")
    code_version: str | None = Field(examples=["0.1.0"])
    dagster_run_id: str | None = Field(
        description="The run that made it.", examples=["7a9c2f3e-5d1b-4c8e-9f60-2b7d8a1e4c33"]
    )


class WhyTrace(_Said):
    """One answer, explained."""

    surface: str = Field(examples=["homepage"])
    asked_at: datetime = Field(description="UTC.", examples=["2026-03-02T09:30:00Z"])
    live_events: int = Field(
        description="Events that were newer than the release and went into the list.", examples=[2]
    )
    degraded: tuple[str, ...] = Field(description="What was left out, as answered.", examples=[[]])
    made_by: MadeBy
    items: tuple[ItemExplained, ...] = Field(description="In the order they were shown; the one that was asked about.")

    @classmethod
    def of(cls, trace: RequestTrace, items: Sequence[Explanation], made_by: Provenance) -> Self:
        return cls(
            surface=trace.request.surface,
            asked_at=trace.asked_at,
            live_events=len(trace.live),
            degraded=trace.degraded,
            made_by=MadeBy.model_validate(made_by),
            items=tuple(ItemExplained.model_validate(item) for item in items),
        )
