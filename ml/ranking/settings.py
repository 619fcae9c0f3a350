"""How the ranker is learned."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RankerSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    click_weight: float = Field(
        0.1, ge=0, le=1, description="Worth of an item the user looked at, clicked or put in the cart, and did not buy."
    )
    conversion_weight: float = Field(
        1.0, ge=0, le=1, description="Further worth of an item that was bought, or of the heaviest event a shop knows."
    )
    revenue_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Further worth of an item bought for much money, by the logarithm of what it brought.",
    )
    max_users_per_week: int = Field(
        1_000, ge=10, description="Users drawn per week: buyers before those who only looked."
    )
    negatives_per_user: int = Field(
        250, ge=10, description="Candidates of no worth kept per user at most, drawn at random."
    )
    rows_per_week: int = Field(
        60_000,
        ge=1_000,
        description="Where many users are drawn, each keeps fewer negatives: in all about so many rows.",
    )
    num_leaves: int = Field(31, ge=2, le=1_024)
    fewer_leaves: tuple[int, ...] = Field(
        (7,),
        description="Smaller trees that are tried too; the newest weeks choose. Few goals a user want small trees.",
    )
    learning_rate: float = Field(0.05, gt=0, le=1)
    max_trees: int = Field(400, ge=1, le=5_000)
    min_rows_in_leaf: int = Field(50, ge=1)
    feature_fraction: float = Field(0.6, gt=0, le=1)
    l2: float = Field(5.0, ge=0)
    truncation: int = Field(50, ge=1, description="Lambdarank looks at pairs with one of so many first places.")
    patience: int = Field(
        40, ge=1, description="Trees without a better NDCG@10 on the newest week before training stops."
    )
    num_threads: int = Field(
        1,
        ge=1,
        description="LightGBM's threads spin while they wait for each other: on a busy machine two took eight times as long "
        "as one. Raise it where the machine is training's alone.",
    )
    seed: int = Field(7, ge=0)

    @model_validator(mode="after")
    def _something_is_worth_something(self) -> Self:
        if not self.click_weight + self.conversion_weight + self.revenue_weight:
            raise ValueError(
                "One of `click_weight`, `conversion_weight` and `revenue_weight` must be above 0. Received: 0 for all. "
                "Leave `conversion_weight` at 1 to rank by purchases."
            )
        return self
