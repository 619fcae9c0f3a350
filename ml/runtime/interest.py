"""What one person is interested in, read from their history in the ways that sources ask."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.sparse_scores import SparseScores

WEIGHT_OF_CODE = np.array([EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES], np.float32)


@dataclass(frozen=True)
class Interest:
    """Items one person showed interest in `[n]`, distinct, with strengths in (0, 1]."""

    rows: Rows
    strengths: Floats

    @classmethod
    def summed(cls, rows: Rows, weights: Floats) -> Self:
        """1 - exp(-w / 5) of each item's summed weight: one fresh purchase (5) gives 0.63, twenty give 1."""
        total = SparseScores.summed(rows, weights)
        liked = total.scores > 0
        return cls(total.rows[liked], strength(total.scores[liked]))


@dataclass(frozen=True)
class Readings:
    """One history, read in several ways: no source is asked by the whole of what each other is."""

    lasting: Interest
    """All of it, however old: what somebody is like."""
    fading: Interest
    """The same, with each event's weight falling with its age."""
    newest: Interest
    """The last items alone: those of the last moment with strength 1, with each moment before it ever less. How long ago that was
    is not asked. All that one user did at one instant, a whole order say, is one moment."""

    @classmethod
    def of(cls, history: History, *, at: int, decay_days: float, newest_items: int, half_life: float) -> Self:
        weights = WEIGHT_OF_CODE[history.event_codes]
        return cls(
            lasting=Interest.summed(history.item_rows, weights),
            fading=Interest.summed(history.item_rows, decayed_weights(history, at=at, decay_days=decay_days)),
            newest=_newest(history.taken(np.flatnonzero(weights > 0)), items=newest_items, half_life=half_life),
        )


def _newest(liked: History, *, items: int, half_life: float) -> Interest:
    rows, at = liked.item_rows[::-1], liked.occurred_at[::-1]
    _, first = np.unique(rows, return_index=True)
    newest = np.sort(first)[:items]
    moments = np.cumsum(np.diff(at, prepend=at[:1]) != 0)[newest]
    return Interest(rows[newest], (0.5 ** (moments / half_life)).astype(np.float32))


def strength(weight: Floats) -> Floats:
    return (1.0 - np.exp(-weight / EVENT_WEIGHTS[EventType.PURCHASE])).astype(np.float32)


def decayed_weights(history: History, *, at: int, decay_days: float) -> Floats:
    """Event weight x exp(-age / decay) of each event `[num_events]`."""
    return WEIGHT_OF_CODE[history.event_codes] * decay(at - history.occurred_at, decay_days)


def decay(age_seconds: Seconds, decay_days: float) -> Floats:
    return np.exp(-np.maximum(age_seconds, 0) / (decay_days * SECONDS_PER_DAY)).astype(np.float32)
