"""Lists about items, for somebody who is known: related items, and among them rather those that are theirs.

    score = relatedness x (1 + own x i)

with i in [0, 1] the interest this visitor showed in the item before, which fades. A product, so that what is not related stays out
however well it is liked.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Rows
from ml.runtime.interest import Interest
from ml.runtime.sparse_scores import SparseScores


class TasteSettings(BaseModel):
    """Travels in the bundle, in `request.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: float = Field(
        2.0,
        ge=0,
        le=20,
        description="Weight of what the visitor showed interest in before, on lists about a product or a cart; 0 leaves such "
        "lists as they are for everybody.",
    )


def personal_factors(rows: Rows, interest: Interest, settings: TasteSettings) -> Floats:
    """What the relatedness of each item is multiplied with `[len(rows)]`, at least 1."""
    return np.float32(1) + np.float32(settings.own) * SparseScores(interest.rows, interest.strengths).at(rows)
