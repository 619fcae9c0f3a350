"""A few places given to chance, each with the probability that it holds what it holds: what off-policy estimates need.

The scheme. With probability `share` one of the places after the `protected` ones is drawn, all alike, and given to an item drawn,
all alike, from the next `pool` items behind the list that the rules allow there. With s such places, p_j items that may take
place j, and q = share / s:

    P(place j holds its own item) = 1 - q        P(place j holds item i of its p_j) = q / p_j

A place that is protected, or that no item may take, holds its own item with probability 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Rows


class ExplorationSettings(BaseModel):
    """Travels in the bundle, in `request.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(
        0.0, ge=0, le=0.5, description="Share of lists in which one place is given to chance; 0 switches it off."
    )
    protected: int = Field(3, ge=0, le=100, description="The first places, which chance never takes.")
    pool: int = Field(20, ge=1, le=500, description="Items just behind the list that may be drawn.")


@dataclass(frozen=True)
class Exploration:
    """How chance changed a list of `n` places."""

    propensities: tuple[float, ...]
    """`[n]` probability that the place holds the item it holds now."""
    place: int | None = None
    """Which place was given away, from 0; None for none."""
    drawn: int | None = None
    """Which item of the pool took it, from 0."""

    def applied(self, planned: Rows, pool: Rows) -> Rows:
        """The list with what chance put there."""
        if self.place is None:
            return planned
        shown = planned.copy()
        shown[self.place] = pool[self.drawn]
        return shown


def explored(fits: NDArray[np.bool_], *, settings: ExplorationSettings, seed: int | None) -> Exploration:
    """Draw as `seed` says; without a seed nothing is drawn and everything is certain.

    Args:
        fits: `[n, pool]` which item of the pool the rules allow at which place.
    """
    certain = Exploration((1.0,) * len(fits))
    places = settings.protected + np.flatnonzero(fits[settings.protected :].any(axis=1))
    if seed is None or not settings.share or not len(places):
        return certain
    rng = np.random.default_rng(seed)
    each = settings.share / len(places)
    propensities = np.ones(len(fits))
    propensities[places] = 1.0 - each
    if rng.random() >= settings.share:
        return Exploration(tuple(propensities.tolist()))
    place = int(rng.choice(places))
    drawn = int(rng.choice(np.flatnonzero(fits[place])))
    propensities[place] = each / fits[place].sum()
    return Exploration(tuple(propensities.tolist()), place, drawn)
