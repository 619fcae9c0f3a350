"""The un-learned order of a user's candidates: what answers where no ranker was learned or there is no time for it.

    score = content x c + collaborative x b + popularity x p

with c, b and p the largest share, in [0, 1], that a source of each kind gives an item. The answer says `degraded: ranker`, and the
offline report has it as a row of its own: a ranker that is not surely better has learned nothing.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats
from ml.runtime.candidates import SOURCES, Candidates

CONTENT = ("content", "two_tower")
"""Sources that go by what items are: the candidate tower sees their attributes, too."""
POPULARITY = ("popular", "trending")
"""Sources that go by everybody. All others go by what people do with items: collaborative."""


class HybridSettings(BaseModel):
    """Travels in the bundle, in `request.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: float = Field(0.5, ge=0, le=1, description="Weight of what items are: content, the towers' likeness.")
    collaborative: float = Field(
        0.3, ge=0, le=1, description="Weight of what people do with items: item-item sources, baskets, re-purchase."
    )
    popularity: float = Field(0.2, ge=0, le=1, description="Weight of what everybody wants lately.")


def hybrid(candidates: Candidates, settings: HybridSettings) -> Floats:
    """Weighted sum of the kinds' largest shares `[num_candidates]`, from 0 to the sum of the weights."""
    others = tuple(source for source in SOURCES if source not in (*CONTENT, *POPULARITY))
    kinds = ((settings.content, CONTENT), (settings.collaborative, others), (settings.popularity, POPULARITY))
    scores = np.zeros(len(candidates.rows), np.float32)
    for weight, sources in kinds:
        columns = [SOURCES.index(source) for source in sources if source in SOURCES]
        scores += np.float32(weight) * candidates.shares[:, columns].max(axis=1)
    return scores
