"""What the shop forbids or limits, on every path."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Rows
from ml.runtime.items import ItemTable

TOP = 10


class Rules(BaseModel):
    """Travels in the bundle, in `request.json`."""

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


def limited_per_category(categories: Rows, *, limit: int | None) -> Rows:
    """A new order of a ranked list, as positions in it `[n]`: those over the limit move behind the tenth place.

    Args:
        categories: `[n]` of the ranked items; one without a category (-1) is never moved.
    """
    if limit is None:
        return np.arange(len(categories), dtype=np.int32)
    taken: Counter[int] = Counter()
    first: list[int] = []
    later: list[int] = []
    for position, category in enumerate(categories.tolist()):
        if len(first) == TOP or (category >= 0 and taken[category] >= limit):
            later.append(position)
        else:
            first.append(position)
            taken[category] += 1
    return np.array(first + later, np.int32)
