"""How one person buys: in which rhythm, and how often this very item is among it. Counted in occasions, days with a purchase."""

from typing import NamedTuple

import numpy as np

from ml.contract.events import EventType
from ml.contract.types import Floats, Rows
from ml.features.history import SECONDS_PER_DAY, History

ITEM_HABITS = ("occasion_share", "occasions_since", "occasion_share_since_first", "last_3_occasions")
"""Share of the user's occasions that hold the item; occasions after the last that does; its share of those from the first that does
on; how many of the last three do. NaN counts "since" where there was none."""

RHYTHM = ("occasions", "days_between_occasions", "occasion_due", "items_per_occasion", "share_new")
"""Occasions; mean days from one to the next; days since the last over that mean, so 1 is "today"; distinct items of one; the share of
what was bought that the user had never bought before."""


class Habits(NamedTuple):
    """What `FEATURES` holds of one person's occasions."""

    of_items: Floats
    """`[num_rows, len(ITEM_HABITS)]`"""
    rhythm: Floats
    """`[len(RHYTHM)]`"""


def habits(history: History, rows: Rows, *, at: int) -> Habits:
    """Habits of a user at an instant, as to each of the items `rows`."""
    bought = history.event_codes == EventType.PURCHASE.code
    days, occasions = np.unique(history.occurred_at[bought] // SECONDS_PER_DAY, return_inverse=True)
    never = np.array([0, np.nan, np.nan, 0], np.float32)
    if not len(days):
        return Habits(np.tile(never, (len(rows), 1)), np.array([0, np.nan, np.nan, np.nan, np.nan], np.float32))
    # Two lines of one item on one day are one: the keys are distinct, and ascend by item, then by occasion.
    item, occasion = np.divmod(np.unique(history.item_rows[bought].astype(np.int64) * len(days) + occasions), len(days))
    items, starts, counts = np.unique(item, return_index=True, return_counts=True)
    first, last = occasion[starts], occasion[starts + counts - 1]
    of_last_3 = np.add.reduceat(occasion >= len(days) - 3, starts, dtype=np.int64)
    own = np.stack([counts / len(days), len(days) - 1 - last, counts / (len(days) - first), of_last_3], axis=1)
    places = np.minimum(np.searchsorted(items, rows), len(items) - 1)
    return Habits(
        np.where((items[places] == rows)[:, None], own[places], never).astype(np.float32),
        np.array([len(days), *_cadence(days, at), len(item) / len(days), len(items) / len(item)], np.float32),
    )


def _cadence(days: Rows, at: int) -> tuple[float, float]:
    """Mean days between occasions, and how due the next one is."""
    if len(days) == 1:
        return np.nan, np.nan
    between = float(days[-1] - days[0]) / (len(days) - 1)
    return between, (at / SECONDS_PER_DAY - float(days[-1])) / between
