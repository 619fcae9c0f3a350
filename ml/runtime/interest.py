"""What one person is interested in, read from their history in the ways that sources ask."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np

from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.kernel import Kernel, address, compiled, require_memory
from ml.runtime.sparse_scores import SparseScores

WEIGHT_OF_CODE = np.array([EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES], np.float32)
_WEIGHTS_AT = address(WEIGHT_OF_CODE, np.float32)


@dataclass(frozen=True)
class Interest:
    """Items one person showed interest in `[n]`, distinct, with strengths in (0, 1]."""

    rows: Rows
    strengths: Floats

    @classmethod
    def summed(cls, rows: Rows, weights: Floats) -> Self:
        """1 - exp(-w / 5) of each item's summed weight: one fresh purchase (5) gives 0.63, twenty give 1."""
        total = SparseScores.summed(rows, weights)
        return cls.of(total.rows, total.scores)

    @classmethod
    def of(cls, rows: Rows, totals: Floats) -> Self:
        """The same of weights that are added up; what is not above 0 is no interest."""
        liked = totals > 0
        return cls(rows[liked], strength(totals[liked]))


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
        """Each by ascending row, so that two of them can be asked at once."""
        kernel = compiled()
        read = read_by_numpy if kernel is None else partial(read_by_kernel, kernel=kernel)
        found = read(history, decayed_weights(history, at=at, decay_days=decay_days), newest_items)
        return cls(
            lasting=Interest.of(found.rows, found.lasting),
            fading=Interest.of(found.rows, found.fading),
            newest=Interest(found.newest, (0.5 ** (found.moments / half_life)).astype(np.float32)),
        )


class Read(NamedTuple):
    """A history, added up."""

    rows: Rows
    """Distinct, ascending."""
    lasting: Floats
    fading: Floats
    newest: Rows
    """Ascending."""
    moments: Seconds
    """How many moments before the last one each of `newest` was."""


def read_by_kernel(history: History, faded: Floats, newest_items: int, *, kernel: Kernel) -> Read:
    size, most = len(history), min(newest_items, len(history))
    rows, sums = np.empty(size + most, np.int32), np.empty((2, size), np.float32)
    moments = np.empty(most + 1, np.int64)  # and how many there are
    start = address(moments, np.int64)
    count = require_memory(
        kernel.read_history(
            address(history.item_rows, np.int32), address(history.event_codes, np.int8),
            address(history.occurred_at, np.int64), size, _WEIGHTS_AT, address(faded, np.float32), most,
            address(rows, np.int32), address(sums, np.float32), address(sums, np.float32) + sums.strides[0],
            address(rows, np.int32) + size * rows.itemsize, start, start + most * moments.itemsize,
        )
    )  # fmt: skip
    num_newest = int(moments[most])
    return Read(rows[:count], sums[0, :count], sums[1, :count], rows[size : size + num_newest], moments[:num_newest])


def read_by_numpy(history: History, faded: Floats, newest_items: int) -> Read:
    weights = WEIGHT_OF_CODE[history.event_codes]
    lasting, fading = (SparseScores.summed(history.item_rows, each) for each in (weights, faded))
    liked = np.flatnonzero(weights > 0)[::-1]
    rows, at = history.item_rows[liked], history.occurred_at[liked]
    distinct, first = np.unique(rows, return_index=True)
    kept = np.argsort(first)[:newest_items]
    kept.sort()
    moments = np.cumsum(np.diff(at, prepend=at[:1]) != 0)
    return Read(lasting.rows, lasting.scores, fading.scores, distinct[kept], moments[first[kept]])


def strength(weight: Floats) -> Floats:
    return (1.0 - np.exp(-weight / EVENT_WEIGHTS[EventType.PURCHASE])).astype(np.float32)


def decayed_weights(history: History, *, at: int, decay_days: float) -> Floats:
    """Event weight x exp(-age / decay) of each event `[num_events]`."""
    return WEIGHT_OF_CODE[history.event_codes] * decay(at - history.occurred_at, decay_days)


def decay(age_seconds: Seconds, decay_days: float) -> Floats:
    return np.exp(-np.maximum(age_seconds, 0) / (decay_days * SECONDS_PER_DAY)).astype(np.float32)
