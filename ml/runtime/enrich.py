"""Features of each candidate for one request: the same code for the ranker's training and for an answer."""

from dataclasses import dataclass

import numpy as np

from ml.contract.columns import ITEM_FEATURES, USER_FEATURES
from ml.contract.events import EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, History
from ml.features.transforms import cyclical_instant
from ml.runtime import blocks
from ml.runtime.blocks import Block, Taken, Written
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.habits import ITEM_HABITS, RHYTHM, habits
from ml.runtime.interest import WEIGHT_OF_CODE
from ml.runtime.kernel import Kernel, address, compiled, require_memory, structs
from ml.runtime.pulse import PULSE
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
AFFINITY_SPAN = 1
"""Which of `SPANS` the weights of affinities have."""

ITEM_FACTS = (*ITEM_FEATURES, *PULSE, "price")
"""Of every item of a catalogue, whoever asks; the price as its logarithm."""

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
    *(f"item_{name}" for name in ITEM_FACTS),
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


_DAYS_BETWEEN, _LOG_PRICE = ITEM_FACTS.index("days_between_purchases"), ITEM_FACTS.index("price")
_PAST, _SOURCES_END = FEATURES.index("own_purchases"), 4 * len(SOURCES) + 1
_AFFINITIES = FEATURES.index("affinity_category")
_OF_USER = (*RHYTHM, "history_length", "history_distinct", "history_days_since_last")


@dataclass(frozen=True)
class Asking:
    """One user's candidates, and what their features are made of."""

    candidates: Candidates
    history: History
    user_features: Floats
    facts: Floats
    """`[num_items, len(ITEM_FACTS)]` of the whole catalogue."""
    kinds: Rows
    """`[num_items, 3]`"""
    heads: HeadPredictions
    at: int

    def by_kernel(self, kernel: Kernel) -> Floats:
        table = np.empty((len(self.candidates.rows), len(FEATURES)), np.float32)
        weights = faded_weights(self.history, at=self.at)
        _write_sources(table, self.candidates, kernel)
        of_user = _write_past(table, self, weights, kernel)
        _write_affinities(table, self, weights[AFFINITY_SPAN], kernel)
        written = Written(_SOURCES_END), Written(_AFFINITIES - _PAST), Written(len(AFFINITIES))
        blocks.by_kernel(table, (*written, *self._others(of_user)), kernel)
        return table

    def by_numpy(self) -> Floats:
        rows, candidates, history = self.candidates.rows, self.candidates, self.history
        table = np.empty((len(rows), len(FEATURES)), np.float32)
        own, habit = own_features(history, rows, at=self.at), habits(history, rows, at=self.at)
        weights = faded_weights(history, at=self.at)[AFFINITY_SPAN]
        past = (
            candidates.scores,
            candidates.shares,
            candidates.ranks,
            candidates.proposed,
            candidates.proposed.sum(axis=1, dtype=np.float32)[:, None],
            own,
            habit.of_items,
            (own[:, OWN.index("days_since_purchase")] / self.facts[rows, _DAYS_BETWEEN])[:, None],
            shares_of_groups(history.item_rows, np.maximum(weights, 0), self.kinds, rows),
        )
        of_user = np.concatenate([habit.rhythm, _history_summary(history, at=self.at)])
        blocks.by_numpy(table, (*past, *self._others(of_user)))
        return table

    def _others(self, of_user: Floats) -> tuple[Block, ...]:
        """What is looked up, of the user alone, or said by the towers."""
        rows, log_price = self.candidates.rows, self.facts[:, _LOG_PRICE]
        price, prices_seen = log_price[rows], log_price[self.history.item_rows[-50:]]
        return (
            Taken(self.facts, rows),
            self.user_features,
            of_user,
            (price - _mean(prices_seen))[:, None],
            self.heads.value_normalized[:, None],
            self.heads.conversion[:, None],
            cyclical_instant(self.at),
        )


def features_of(asking: Asking) -> Floats:
    """One row per candidate, one column per name in `FEATURES`. `[num_candidates, len(FEATURES)]`, NaN is "unknown"."""
    kernel = compiled()
    return asking.by_numpy() if kernel is None else asking.by_kernel(kernel)


def _write_sources(table: Floats, candidates: Candidates, kernel: Kernel) -> None:
    """Scores, shares, ranks, proposals and how many there are."""
    kernel.source_features(
        address(candidates.scores, np.float32), address(candidates.shares, np.float32),
        address(candidates.ranks, np.float32), address(candidates.proposed, np.bool_), *candidates.scores.shape,
        address(table, np.float32), len(FEATURES),
    )  # fmt: skip


def _write_past(table: Floats, asking: Asking, weights: Floats, kernel: Kernel) -> Floats:
    """`OWN`, `ITEM_HABITS` and how due an item is. What is told of the user: `_OF_USER`."""
    history, rows, facts = asking.history, asking.candidates.rows, asking.facts
    of_user = np.empty(len(_OF_USER), np.float32)
    told = structs([(
        len(history), address(history.item_rows, np.int32), address(history.event_codes, np.int8),
        address(history.occurred_at, np.int64), address(history.quantity, np.float32), address(weights, np.float32),
        asking.at, *_CODES,
    )])  # fmt: skip
    require_memory(
        kernel.past_features(
            told.buffer_info()[0], address(rows, np.int32), len(rows),
            address(facts, np.float32) + _DAYS_BETWEEN * facts.itemsize, facts.shape[1],
            address(table, np.float32) + _PAST * table.itemsize, len(FEATURES), address(of_user, np.float32),
        )
    )  # fmt: skip
    return of_user


def _write_affinities(table: Floats, asking: Asking, weights: Floats, kernel: Kernel) -> None:
    kinds, rows, seen = asking.kinds, asking.candidates.rows, asking.history.item_rows
    require_memory(
        kernel.shares_of_groups(
            address(seen, np.int32), address(weights, np.float32), len(seen), address(kinds, np.int32), kinds.shape[1],
            address(rows, np.int32), len(rows), address(table, np.float32) + _AFFINITIES * table.itemsize, len(FEATURES),
        )
    )  # fmt: skip


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


def faded_weights(history: History, *, at: int) -> Floats:
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
    weights = [by_item.sums(each) for each in faded_weights(history, at=at)]
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


def shares_of_groups(seen: Rows, weights: Floats, kinds: Rows, rows: Rows) -> Floats:
    """Share of the user's decayed interest that lies in each candidate's category, sub-category and brand `[len(rows), num_kinds]`."""
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
