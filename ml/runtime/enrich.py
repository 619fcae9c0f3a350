"""Features of each candidate for one request: the same code for the ranker's training and for an answer."""

from dataclasses import dataclass

import numpy as np

from ml.contract.columns import ITEM_FEATURES, USER_FEATURES
from ml.contract.events import EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, History
from ml.features.transforms import cyclical_instant
from ml.runtime.blocks import Taken, side_by_side
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.habits import ITEM_HABITS, RHYTHM, habits
from ml.runtime.interest import WEIGHT_OF_CODE, decayed_weights
from ml.runtime.items import ItemTable
from ml.runtime.kernel import Kernel, address, compiled, require_memory, structs
from ml.runtime.order import falling
from ml.runtime.pulse import PULSE, Pulse
from ml.runtime.towers import HeadPredictions

SPANS = np.array([7.0, 30.0, 180.0])
"""Days over which the own weights fall by e."""

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

_CODES = tuple(kind.code for kind in (EventType.PURCHASE, EventType.VIEW, EventType.CART_ADD, EventType.RETURN))

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
    own, habit = own_features(history, rows, at=at), habits(history, rows, at=at)
    due_as_others = own[:, OWN.index("days_since_purchase")] / pulse.days_between_purchases[rows]
    price, prices_seen = items.log_price[rows], items.log_price[history.item_rows[-50:]]
    return side_by_side(
        len(rows),
        len(FEATURES),
        candidates.scores,
        candidates.shares,
        reciprocal_ranks(candidates.scores),
        candidates.proposed,
        candidates.proposed.sum(axis=1, dtype=np.float32)[:, None],
        own,
        habit.of_items,
        due_as_others[:, None],
        affinities(history, rows, items, at=at),
        Taken(items.features, rows),
        Taken(pulse.values, rows),
        price[:, None],
        user_features,
        habit.rhythm,
        _history_summary(history, at=at),
        (price - _mean(prices_seen))[:, None],
        heads.value_normalized[:, None],
        heads.conversion[:, None],
        cyclical_instant(at),
    )


@dataclass(frozen=True)
class _Grouped:
    """A history's events grouped by item: `groups[i]` is event i's position in `rows`."""

    rows: Rows
    groups: Seconds

    def sums(self, weights: Floats) -> Floats:
        return np.bincount(self.groups, weights, len(self.rows)).astype(np.float32)


def own_features(history: History, rows: Rows, *, at: int) -> Floats:
    """What the user did with each of `rows` before, which ascend. `[len(rows), len(OWN)]`"""
    kernel = compiled()
    return own_by_numpy(history, rows, at=at) if kernel is None else own_by_kernel(history, rows, kernel, at=at)


def own_by_kernel(history: History, rows: Rows, kernel: Kernel, *, at: int) -> Floats:
    weights, own = _weights(history, at=at), np.empty((len(rows), len(OWN)), np.float32)
    told = structs([(
        len(history), address(history.item_rows, np.int32), address(history.event_codes, np.int8),
        address(history.occurred_at, np.int64), address(history.quantity, np.float32), address(weights, np.float32),
        at, *_CODES,
    )])  # fmt: skip
    require_memory(
        kernel.own_features(told.buffer_info()[0], address(rows, np.int32), len(rows), address(own, np.float32))
    )
    return own


def own_by_numpy(history: History, rows: Rows, *, at: int) -> Floats:
    never = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, *[np.nan] * 5], np.float32)
    if not len(history):
        return np.tile(never, (len(rows), 1))
    unique, inverse = np.unique(history.item_rows, return_inverse=True)
    by_item = _Grouped(unique, inverse)
    table = np.vstack([_own_table(history, by_item, at=at), never])
    positions = np.minimum(np.searchsorted(unique, rows), len(unique) - 1)
    return table[np.where(unique[positions] == rows, positions, len(unique))]


def _weights(history: History, *, at: int) -> Floats:
    """Of each event, as they have faded in each of the spans `[len(SPANS), num_events]`."""
    ages = np.maximum(at - history.occurred_at, 0)
    faded = np.exp(-ages / (SPANS[:, None] * SECONDS_PER_DAY)).astype(np.float32)
    return WEIGHT_OF_CODE[history.event_codes] * faded


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
    weights = [by_item.sums(each) for each in _weights(history, at=at)]
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


def affinities(history: History, rows: Rows, items: ItemTable, *, at: int) -> Floats:
    """Share of the user's decayed interest that lies in each candidate's category, sub-category and brand."""
    weights = np.maximum(decayed_weights(history, at=at, decay_days=30.0), 0)
    kernel = compiled()
    if kernel is None:
        return shares_of_groups_by_numpy(history.item_rows, weights, items.kinds, rows)
    return shares_of_groups_by_kernel(history.item_rows, weights, items.kinds, rows, kernel)


def shares_of_groups_by_kernel(seen: Rows, weights: Floats, kinds: Rows, rows: Rows, kernel: Kernel) -> Floats:
    shares = np.empty((len(rows), kinds.shape[1]), np.float32)
    require_memory(
        kernel.shares_of_groups(
            address(seen, np.int32), address(weights, np.float32), len(seen), address(kinds, np.int32), kinds.shape[1],
            address(rows, np.int32), len(rows), address(shares, np.float32),
        )
    )  # fmt: skip
    return shares


def shares_of_groups_by_numpy(seen: Rows, weights: Floats, kinds: Rows, rows: Rows) -> Floats:
    pairs = zip(kinds[seen].T, kinds[rows].T, strict=True)
    return np.stack([_share_of_group(groups, weights, asked) for groups, asked in pairs], axis=1)


def _share_of_group(groups: Rows, weights: Floats, asked: Rows) -> Floats:
    sums = np.bincount(groups + 1, weights, int(asked.max(initial=0)) + 2)
    sums[0] = 0.0  # the place of items without a group
    total = weights[groups >= 0].cumsum(dtype=np.float64)[-1:].sum()  # added up one after the other, as the kernel does
    return (sums[asked + 1] / (total if total > 0 else 1.0)).astype(np.float32)


def _history_summary(history: History, *, at: int) -> Floats:
    if not len(history):
        return np.array([0, 0, np.nan], np.float32)
    age = (at - int(history.occurred_at[-1])) / SECONDS_PER_DAY
    return np.array([len(history), len(np.unique(history.item_rows)), age], np.float32)


def _mean(numbers: Floats) -> np.float32:
    """Of those that are known; NaN when none is."""
    known = numbers[np.isfinite(numbers)]
    return known.sum() / np.float32(len(known)) if len(known) else np.float32(np.nan)


def reciprocal_ranks(scores: Floats) -> Floats:
    """1 / (rank of the candidate in each source), 0 where the source gives it nothing. `[n, s]`"""
    kernel = compiled()
    return ranks_by_numpy(scores) if kernel is None else ranks_by_kernel(scores, kernel)


def ranks_by_kernel(scores: Floats, kernel: Kernel) -> Floats:
    ranks = np.empty_like(scores)
    require_memory(kernel.reciprocal_ranks(address(scores, np.float32), *scores.shape, address(ranks, np.float32)))
    return ranks


def ranks_by_numpy(scores: Floats) -> Floats:
    order = falling(np.ascontiguousarray(scores.T))
    reciprocal = np.empty(order.shape, np.float32)
    reciprocal[np.arange(len(order))[:, None], order] = 1.0 / np.arange(1, len(scores) + 1)
    return np.where(scores > 0, reciprocal.T, np.float32(0))
