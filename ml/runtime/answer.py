"""What comes back for a request, and all it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ml.contract.events import EventType
from ml.features.history import History
from ml.runtime.items import ItemTable
from ml.runtime.requests import Request
from ml.runtime.state import OnlineState


@dataclass(frozen=True)
class Inputs:
    """Everything an answer depends on besides its bundle."""

    request: Request
    state: OnlineState
    now: datetime
    seed: int | None
    """Of exploration; without one nothing is left to chance."""

    @cached_property
    def at(self) -> int:
        return int(self.now.timestamp())

    def history(self, items: ItemTable) -> History:
        """What the user did, and after it what this session looked at."""
        rows = [items.vocabulary.row(item_id) for item_id in self.request.session_items]
        seen = np.array([row for row in rows if row >= 0], np.int32)
        if not len(seen):
            return self.state.history
        codes = np.full(len(seen), EventType.VIEW.code, np.int8)
        views = History(seen, codes, np.full(len(seen), self.at, np.int64), np.ones(len(seen), np.float32))
        return self.state.history.then(views)


class RankedItem(NamedTuple):
    """One line of an answer."""

    item_id: str
    item_row: int
    score: float
    position: int
    """From 1."""
    source: str
    """The source that spoke loudest for the item; `request` for one that only the caller named."""
    sources: Mapping[str, float]
    """Every source that proposed it, with its score in [0, 1] of that source's best."""
    propensity: float = 1.0
    """The probability that this place holds this item, given the request."""


@dataclass(frozen=True)
class RankedList:
    """An answer: at most `limit` distinct allowed items, best first; fewer only if fewer are allowed."""

    items: tuple[RankedItem, ...]
    bundle_version: str
    personalised: bool
    made_from: Inputs = field(repr=False, compare=False)
    degraded: tuple[str, ...] = ()
    """What was left out, by name."""
    removed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a rank request: the caller's items that are not shown, each with the rules that forbid it."""
    kept_out: Mapping[str, int] = field(default_factory=dict)
    """How many items of the catalogue each rule kept out of this answer, beside what the shop shows nobody."""
