"""What the shop forbids or limits, on every path."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Rows
from ml.runtime.items import ItemTable

TOP = 10


class Rules(BaseModel):
    """Travels in the bundle as `rules.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_per_category_in_top_10: int | None = Field(
        None, ge=1, description="At most so many items of one category among the first ten; null sets no limit."
    )


def allowed_items(items: ItemTable, *, exclude: frozenset[str]) -> NDArray[np.bool_]:
    """Which items may be shown `[num_items]`: available, and not excluded by the request."""
    if not exclude:
        return items.available
    allowed = items.available.copy()
    rows = items.vocabulary.rows(sorted(exclude))
    allowed[rows[rows >= 0]] = False
    return allowed


def limited_per_category(ranked: Rows, categories: Rows, *, limit: int | None) -> Rows:
    """The same items, those over the limit moved behind the tenth place. Items without a category are never moved."""
    if limit is None:
        return ranked
    taken: dict[int, int] = {}
    first: list[int] = []
    later: list[int] = []
    for row, category in zip(ranked.tolist(), categories[ranked].tolist(), strict=True):
        full = category >= 0 and taken.get(category, 0) >= limit
        if full or len(first) == TOP:
            later.append(row)
        else:
            first.append(row)
            taken[category] = taken.get(category, 0) + 1
    return np.array(first + later, np.int32)
