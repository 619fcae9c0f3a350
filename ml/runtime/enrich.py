"""Features of each candidate for one request: the same code for the ranker's training and for an answer."""

from dataclasses import dataclass

import numpy as np

from ml.contract.columns import ITEM_FEATURES, USER_FEATURES
from ml.contract.events import EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, History
from ml.features.transforms import cyclical_time
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.habits import ITEM_HABITS, RHYTHM, habits
from ml.runtime.interest import decayed_weights
from ml.runtime.items import ItemTable
from ml.runtime.order import falling
from ml.runtime.pulse import PULSE, Pulse
from ml.runtime.towers import HeadPredictions

OWN = (
    "purchases",
    "purchase_days",
    "quantity",
    "views",
    "cart_adds",
    "returns",
    "weight_7d",
    "weight_30d",
    "weight_180d",
    "days_since_last",
    "days_since_first",
    "days_since_purchase",
    "days_between_purchases",
    "due",
)
"""What this user did with this very item; NaN instants where never."""

AFFINITIES = ("category", "sub_category", "brand")

FEATURES: tuple[str, ...] = (
    *(f"score_{source}" for source in SOURCES),
    *(f"share_{source}" for source in SOURCES),
    *(f"rank_{source}" for source in SOURCES),
    *(f"proposed_{source}" for source in SOURCES),
    "num_sources",
    *(f"own_{name}" for name in OWN),
    *(f"own_{name}" for name in ITEM_HABITS),
    "own_due_as_others",
    *(f"affinity_{name}" for name in AFFINITIES),
    *(f"item_{name}" for name in ITEM_FEATURES),
    *(f"item_{name}" for name in PULSE),
    "item_price",
    *(f"user_{name}" for name in USER_FEATURES),
    *(f"user_{name}" for name in RHYTHM),
    "history_length",
    "history_distinct",
    "history_days_since_last",
    "price_against_own_mean",
    "head_value",
    "head_conversion",
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
)


def features_of(
    candidates: Candidates,
    *,
    history: History,
    user_features: Floats,
    items: ItemTable,
    pulse: Pulse,
    heads: HeadPredictions,
    at: int,
) -> Floats:
    """One row per candidate, one column per name in `FEATURES`. `[num_candidates, len(FEATURES)]`, NaN is "unknown"."""
    rows = candidates.rows
    price = np.log(np.maximum(items.price[rows], 0.01))
    own, habit = own_features(history, rows, at=at), habits(history, rows, at=at)
    due_as_others = own[:, OWN.index("days_since_purchase")] / pulse.days_between_purchases[rows]
    blocks = (
        candidates.scores,
        candidates.shares,
        _ranks(candidates.scores),
        candidates.proposed,
        candidates.proposed.sum(axis=1)[:, None],
        own,
        habit.of_items,
        due_as_others[:, None],
        _affinities(history, rows, items, at=at),
        items.features[rows],
        pulse.values[rows],
        price[:, None],
        user_features,
        habit.rhythm,
        _history_summary(history, at=at),
        (price - _mean_log_price(history, items))[:, None],
        heads.value_normalized[:, None],
        heads.conversion[:, None],
        cyclical_time(np.array([at]))[0],
    )
    features = np.empty((len(rows), len(FEATURES)), np.float32)
    end = 0
    for block in blocks:  # one row per candidate, or one for all of them
        start, end = end, end + block.shape[-1]
        features[:, start:end] = block
    return features


@dataclass(frozen=True)
class _Grouped:
    """A history's events grouped by item: `groups[i]` is event i's position in `rows`."""

    rows: Rows
    groups: Seconds

    def sums(self, weights: Floats) -> Floats:
        return np.bincount(self.groups, weights, len(self.rows)).astype(np.float32)


def own_features(history: History, rows: Rows, *, at: int) -> Floats:
    """What the user did with each of `rows` before. `[len(rows), len(OWN)]`"""
    never = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, *[np.nan] * 5], np.float32)
    if not len(history):
        return np.tile(never, (len(rows), 1))
    unique, inverse = np.unique(history.item_rows, return_inverse=True)
    by_item = _Grouped(unique, inverse)
    table = np.vstack([_own_table(history, by_item, at=at), never])
    positions = np.minimum(np.searchsorted(unique, rows), len(unique) - 1)
    return table[np.where(unique[positions] == rows, positions, len(unique))]


def _own_table(history: History, by_item: _Grouped, *, at: int) -> Floats:
    def counted(event_type: EventType) -> Floats:
        return by_item.sums((history.event_codes == event_type.code).astype(np.float32))

    bought = history.event_codes == EventType.PURCHASE.code
    days = ((at - history.occurred_at) / SECONDS_PER_DAY).astype(np.float32)
    last, first = _newest(days, by_item), _oldest(days, by_item)
    last_bought = _newest(np.where(bought, days, np.inf).astype(np.float32), by_item)
    first_bought = _oldest(np.where(bought, days, -np.inf).astype(np.float32), by_item)
    purchase_days = _distinct_days(history, by_item, bought)
    with np.errstate(invalid="ignore", divide="ignore"):
        interval = (first_bought - last_bought) / (purchase_days - 1)
    interval = np.where(purchase_days > 1, interval, np.nan)
    last_bought = np.where(np.isfinite(last_bought), last_bought, np.nan)
    weights = [by_item.sums(decayed_weights(history, at=at, decay_days=span)) for span in (7.0, 30.0, 180.0)]
    return np.stack(
        [
            counted(EventType.PURCHASE),
            purchase_days,
            by_item.sums(np.where(bought, history.quantity, 0)),
            counted(EventType.VIEW),
            counted(EventType.CART_ADD),
            counted(EventType.RETURN),
            *weights,
            last,
            first,
            last_bought,
            interval,
            last_bought / np.maximum(interval, 0.5),
        ],
        axis=1,
    ).astype(np.float32)


def _newest(days: Floats, by_item: _Grouped) -> Floats:
    least = np.full(len(by_item.rows), np.inf, np.float32)
    np.minimum.at(least, by_item.groups, days)
    return least


def _oldest(days: Floats, by_item: _Grouped) -> Floats:
    most = np.full(len(by_item.rows), -np.inf, np.float32)
    np.maximum.at(most, by_item.groups, days)
    return most


def _distinct_days(history: History, by_item: _Grouped, bought: np.ndarray) -> Floats:
    """On how many days each item was bought: two lines of one order are one occasion."""
    day = history.occurred_at[bought] // SECONDS_PER_DAY
    keys = np.unique(by_item.groups[bought].astype(np.int64) * 100_000 + day)
    return np.bincount(keys // 100_000, minlength=len(by_item.rows)).astype(np.float32)


def _affinities(history: History, rows: Rows, items: ItemTable, *, at: int) -> Floats:
    """Share of the user's decayed interest that lies in each candidate's category, sub-category and brand."""
    weights = np.maximum(decayed_weights(history, at=at, decay_days=30.0), 0)
    kinds = zip(items.kinds[history.item_rows].T, items.kinds[rows].T, strict=True)
    return np.stack([_share_of_group(seen, weights, asked) for seen, asked in kinds], axis=1)


def _share_of_group(groups: Rows, weights: Floats, asked: Rows) -> Floats:
    sums = np.bincount(groups + 1, weights, int(asked.max(initial=0)) + 2)
    sums[0] = 0.0  # the place of items without a group
    total = sums.sum()
    return (sums[asked + 1] / (total if total > 0 else 1.0)).astype(np.float32)


def _history_summary(history: History, *, at: int) -> Floats:
    if not len(history):
        return np.array([0, 0, np.nan], np.float32)
    age = (at - int(history.occurred_at[-1])) / SECONDS_PER_DAY
    return np.array([len(history), len(np.unique(history.item_rows)), age], np.float32)


def _mean_log_price(history: History, items: ItemTable) -> float:
    prices = items.price[history.item_rows[-50:]]
    known = prices[np.isfinite(prices)]
    return float(np.log(np.maximum(known, 0.01)).mean()) if len(known) else float("nan")


def _ranks(scores: Floats) -> Floats:
    """1 / (rank of the candidate in each source), 0 where the source gives it nothing. `[n, s]`"""
    order = falling(np.ascontiguousarray(scores.T))
    reciprocal = np.empty(order.shape, np.float32)
    reciprocal[np.arange(len(order))[:, None], order] = 1.0 / np.arange(1, len(scores) + 1)
    return np.where(scores > 0, reciprocal.T, np.float32(0))
