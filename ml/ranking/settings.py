"""How the ranker is learned."""

from pydantic import BaseModel, ConfigDict, Field


class RankerSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    max_users_per_week: int = Field(300, ge=10, description="Users drawn per week.")
    negatives_per_user: int = Field(250, ge=10, description="Candidates without a goal kept per user, drawn at random.")
    num_leaves: int = Field(31, ge=2, le=1_024)
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
