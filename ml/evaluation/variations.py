"""The same scores, arranged otherwise: what diversity and boosts cost and bring, so that a shop can choose with open eyes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ml.contract.types import Floats, Rows
from ml.evaluation.beyond_accuracy import catalogue_coverage_at_k, intra_list_diversity_at_k, novelty_at_k
from ml.evaluation.exposure import exposure_of_items, gini, share_of
from ml.evaluation.intervals import BootstrapSettings, Interval, mean_interval
from ml.evaluation.ranking_metrics import Hits, Relevant, ndcg_at_k
from ml.runtime.settings import RequestSettings

RELEVANCES = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)
"""Points of the curve: lambda of maximal marginal relevance."""
BOOST = 0.5
"""Weight of the boosts that are shown beside the bundle's own."""

Kind = Literal["diversity", "boosts"]
BOOSTS = ("freshness_boost", "new_seller_boost", "exposure_boost", "seller_exposure_boost")
NEW, OVERLOOKED = BOOSTS[:2], BOOSTS[2:]


class Variation(BaseModel):
    """Lists of the same users and scores under one choice of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    name: str
    is_own: bool
    """Whether these are the bundle's own settings."""
    relevance: float | None = None
    """Lambda, of a point of the diversity curve."""
    ndcg: Interval
    diversity: float | None
    """Mean over lists of 1 - cosine of the pairs of the first k items."""
    novelty: float | None
    """Bits."""
    coverage: float | None
    """Share of the items a list may hold that stand in one of the sampled lists' first k."""
    gini: float | None
    """Of the exposure of the items a list may hold."""
    tail_share: float | None
    """Share of exposure of the items outside the most bought fifth."""
    new_item_share: float | None
    new_seller_share: float | None
    """Of the items of sellers whose first item is new; None where nobody names sellers."""


@dataclass(frozen=True)
class Yardstick:
    """What lists of some users are measured by."""

    relevant: Relevant
    recommendable: NDArray[np.bool_]
    """`[num_items]`, like all that follow."""
    times_bought: NDArray[np.float64]
    vectors: Floats
    """`[num_items, dimension]`"""
    tail: NDArray[np.bool_]
    new: NDArray[np.bool_]
    of_new_sellers: NDArray[np.bool_] | None
    """None where nobody names sellers."""
    k: int
    """First places that are looked at."""
    bootstrap: BootstrapSettings

    def measured(
        self, name: str, kind: Kind, settings: RequestSettings, *, own: RequestSettings, lists: Rows
    ) -> Variation:
        """One choice of settings by its lists `[num_users, at least k]`."""
        exposure = exposure_of_items(lists, num_items=len(self.recommendable), k=self.k)
        return Variation(
            kind=kind,
            name=name,
            is_own=settings == own,
            relevance=settings.diversity.relevance if kind == "diversity" else None,
            ndcg=mean_interval(ndcg_at_k(Hits.of(lists, self.relevant), k=self.k), self.bootstrap),
            diversity=_mean(intra_list_diversity_at_k(lists, self.vectors, k=self.k)),
            novelty=_mean(novelty_at_k(lists, self.times_bought, k=self.k)),
            coverage=catalogue_coverage_at_k(lists, self.recommendable, k=self.k),
            gini=gini(exposure[self.recommendable]),
            tail_share=share_of(exposure, self.tail),
            new_item_share=share_of(exposure, self.new),
            new_seller_share=None if self.of_new_sellers is None else share_of(exposure, self.of_new_sellers),
        )


def variations_of(own: RequestSettings) -> dict[str, tuple[Kind, RequestSettings]]:
    """By name: the diversity curve through the bundle's own settings, and its boosts off, as they are, and at `BOOST`."""
    found: dict[str, tuple[Kind, RequestSettings]] = {}
    for relevance in sorted({*RELEVANCES, own.diversity.relevance}, reverse=True):
        diversity = own.diversity.model_copy(update={"relevance": relevance})
        found[f"lambda {relevance:g}"] = ("diversity", own.model_copy(update={"diversity": diversity}))
    boosts = {"no boosts": (), f"new ones by {BOOST:g}": NEW, f"overlooked ones by {BOOST:g}": OVERLOOKED}
    for name, boosted in boosts.items():
        weights = {boost: BOOST if boost in boosted else 0.0 for boost in BOOSTS}
        found[name] = ("boosts", own.model_copy(update={"rules": own.rules.model_copy(update=weights)}))
    if any(getattr(own.rules, boost) for boost in BOOSTS):
        found["as set"] = ("boosts", own)
    return found


def variations(lists: Mapping[str, Rows], own: RequestSettings, yardstick: Yardstick) -> tuple[Variation, ...]:
    """Each choice of settings, by the lists it gave.

    Args:
        lists: `[num_users, at least k]` by the names of `variations_of(own)`, of the yardstick's users.
    """
    return tuple(
        yardstick.measured(name, kind, settings, own=own, lists=lists[name])
        for name, (kind, settings) in variations_of(own).items()
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
