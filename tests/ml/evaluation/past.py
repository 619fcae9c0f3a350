"""A past small enough to recommend by hand."""

from collections.abc import Sequence

import numpy as np

from ml.contract.events import EventType
from ml.features.log import InteractionLog

DAY = 86_400
CUT = 100 * DAY
NUM_ITEMS = 6

Event = tuple[int, int, float, EventType]
"""User row, item row, age in days at the cut, type."""


def log_of(events: Sequence[Event], *, baskets: Sequence[int] | None = None) -> InteractionLog:
    """Events in time order; every one an order of its own unless `baskets` says otherwise."""
    order = sorted(range(len(events)), key=lambda i: -events[i][2])
    users, items, ages, types = zip(*(events[i] for i in order), strict=True) if events else ((), (), (), ())
    occurred_at = CUT - (np.array(ages) * DAY).astype(np.int64)
    return InteractionLog(
        user_rows=np.array(users, np.int32),
        item_rows=np.array(items, np.int32),
        event_codes=np.array([event_type.code for event_type in types], np.int8),
        occurred_at=occurred_at.astype(np.int64),
        known_at=occurred_at.astype(np.int64),
        quantity=np.ones(len(events), np.float32),
        amount=np.ones(len(events), np.float32),
        basket_rows=np.array([-1] * len(events) if baskets is None else [baskets[i] for i in order], np.int32),
    )
