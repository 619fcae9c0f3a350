"""How the table sources are fitted."""

from pydantic import BaseModel, ConfigDict, Field

ITEMS_PER_DIRECTION = 8
"""Of a graph at least. With one for every item an item is like itself alone, and who goes with whom is lost."""


class SourceSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    events_per_user: int = Field(
        1_000,
        ge=1,
        description="Of each user the newest so many events are learned from; a request looks at no more either.",
    )
    ease_l2: float = Field(200.0, gt=0, description="Ridge of EASE; larger for sparser shops.")
    ease_max_items: int = Field(
        6_000, ge=1, description="EASE inverts a square matrix of the most popular so many items."
    )
    ease_neighbours: int = Field(200, ge=1, le=5_000, description="Weights kept per item, by absolute value.")
    knn_neighbours: int = Field(
        200, ge=1, le=5_000, description="Similar items kept per item of item-kNN, the strongest."
    )
    knn_user_damping: float = Field(
        0.5, ge=0, le=1, description="A user's word counts less by their interest to this power, in item-kNN."
    )
    knn_user_shrinkage: float = Field(
        16.0,
        ge=0,
        description="Added to a user's interest there: who liked one item says little more than who liked ten.",
    )
    knn_item_shrinkage: float = Field(
        8.0, ge=0, description="Added to the interest in an item there: two that one user liked are hardly alike yet."
    )
    next_moments: int = Field(3, ge=1, le=20, description="`next_items` looks so many moments of a user ahead.")
    next_decay_days: float = Field(
        90.0, gt=0, description="What followed counts less by a factor e every so many days."
    )
    next_neighbours: int = Field(100, ge=1, le=5_000, description="Following items kept per item, the strongest.")
    next_shrinkage: float = Field(1.0, ge=0, description="Added to the norm product of `next_items`.")
    content_neighbours: int = Field(50, ge=1, le=5_000, description="Items described alike kept per item.")
    content_pairs: int = Field(
        100_000_000,
        ge=0,
        description="Pairs of items that share a word, at most: the words most items have are left out until they are no more.",
    )
    spectral_rank: int = Field(
        768,
        ge=1,
        le=1_024,
        description="Directions kept of the graph of users and items: numbers per item, two bytes each.",
    )
    spectral_numbers: int = Field(
        32_000_000,
        ge=1,
        description="Of all items together at most: a larger catalogue keeps fewer directions. A small one never keeps more than one for every "
        "eight items.",
    )
    knn_users: int = Field(
        1_000,
        ge=1,
        description="Of those interested in an item so many are kept for `user_knn`, who chose little else.",
    )
    knn_pairs: int = Field(
        32_000_000,
        ge=1,
        description="Of users and items together at most: of a larger catalogue fewer users of each item are kept.",
    )
    basket_neighbours: int = Field(
        50, ge=1, le=5_000, description="Items bought together kept per item, the strongest."
    )
    basket_shrinkage: float = Field(
        10.0, ge=0, description="Added to the norm product, so that two lucky co-occurrences weigh little."
    )
    popularity_decay_days: float = Field(
        7.0,
        gt=0,
        description="A purchase or view counts less by a factor e every so many days, in `popular` and `trending`.",
    )

    def users_of(self, num_items: int) -> int:
        """Kept of each item of a catalogue of this size, at least one."""
        return max(1, min(self.knn_users, self.knn_pairs // max(num_items, 1)))

    def directions_of(self, num_items: int) -> int:
        """As many as a catalogue of this size keeps, at least one."""
        most = self.spectral_numbers // max(num_items, 1), num_items // ITEMS_PER_DIRECTION
        return max(1, min(self.spectral_rank, *most))
