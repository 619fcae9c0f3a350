"""How the table sources are fitted."""

from pydantic import BaseModel, ConfigDict, Field


class SourceSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    ease_l2: float = Field(200.0, gt=0, description="Ridge of EASE; larger for sparser shops.")
    ease_max_items: int = Field(
        6_000, ge=1, description="EASE inverts a square matrix of the most popular so many items."
    )
    ease_neighbours: int = Field(200, ge=1, le=5_000, description="Weights kept per item, by absolute value.")
    knn_neighbours: int = Field(100, ge=1, le=5_000)
    basket_neighbours: int = Field(50, ge=1, le=5_000)
    basket_shrinkage: float = Field(
        10.0, ge=0, description="Added to the norm product, so that two lucky co-occurrences weigh little."
    )
    popularity_decay_days: float = Field(7.0, gt=0)
