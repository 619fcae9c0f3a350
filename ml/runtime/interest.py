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
    session: Interest
    """Events of the last days alone."""
    newest: Interest
    """The last items alone, by their order: strength 1, then ever less by the same factor. The age in days is not asked."""

    @classmethod
    def of(
        cls, history: History, *, at: int, decay_days: float, session_days: float, newest_items: int, half_life: float
    ) -> Self:
        weights = WEIGHT_OF_CODE[history.event_codes]
        recent = history.occurred_at >= at - session_days * SECONDS_PER_DAY
        return cls(
            lasting=Interest.summed(history.item_rows, weights),
            fading=Interest.summed(history.item_rows, decayed_weights(history, at=at, decay_days=decay_days)),
            session=Interest.summed(history.item_rows[recent], weights[recent]),
            newest=_newest(history.item_rows[weights > 0], items=newest_items, half_life=half_life),
        )


def _newest(rows: Rows, *, items: int, half_life: float) -> Interest:
    """Of `rows` in the order they happened, the last one last."""
    _, back = np.unique(rows[::-1], return_index=True)
    back = np.sort(back)[:items]
    return Interest(rows[::-1][back], (0.5 ** (np.arange(len(back)) / half_life)).astype(np.float32))


def strength(weight: Floats) -> Floats:
    return (1.0 - np.exp(-weight / EVENT_WEIGHTS[EventType.PURCHASE])).astype(np.float32)


def decayed_weights(history: History, *, at: int, decay_days: float) -> Floats:
    """Event weight x exp(-age / decay) of each event `[num_events]`."""
    return WEIGHT_OF_CODE[history.event_codes] * decay(at - history.occurred_at, decay_days)


def decay(age_seconds: Seconds, decay_days: float) -> Floats:
    return np.exp(-np.maximum(age_seconds, 0) / (decay_days * SECONDS_PER_DAY)).astype(np.float32)
