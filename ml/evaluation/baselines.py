"""The lists a shop would get without us, from the same past. Ties everywhere: higher score first, then lower item row."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml.contract.events import DECAY_DAYS, EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats, Rows
from ml.evaluation.lists import best_of, filled, ranked, row_blocks, strongest
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog

POPULARITY_DECAY_DAYS = 7.0
NEIGHBOURS = 500
"""Most similar items kept of each item: bounds memory at 40 000 items, and further ones add noise."""


@dataclass(frozen=True)
class Past:
    """What was known at `cut`, and the users whose lists are asked for. Make it with `Past.at`."""

    log: InteractionLog
    cut: int
    """Seconds."""
    user_rows: Rows
    """`[num_users]`: the users asked about, -1 for a stranger; the same user may be asked about twice."""
    recommendable: NDArray[np.bool_]
    """`[num_items]`: items a list may hold; must be the same for every system that is compared."""

    @classmethod
    def at(cls, cut: int, log: InteractionLog, *, user_rows: Rows, recommendable: NDArray[np.bool_]) -> Self:
        """Of a log that may reach beyond the cut; what was not known at the cut is left out."""
        return cls(log.before(cut), cut, user_rows, recommendable)

    @property
    def num_users(self) -> int:
        return len(self.user_rows)

    @property
    def num_items(self) -> int:
        return len(self.recommendable)

    @cached_property
    def num_log_users(self) -> int:
        """Rows a table of all users needs: those of the log and those asked about."""
        return int(max(self.log.user_rows.max(initial=-1), self.user_rows.max(initial=-1))) + 1

    @cached_property
    def purchases(self) -> InteractionLog:
        return self.log.of_types([EventType.PURCHASE.code])

    @cached_property
    def times_bought(self) -> NDArray[np.float64]:
        """Purchases of each item `[num_items]`."""
        return np.bincount(self.purchases.item_rows, minlength=self.num_items).astype(np.float64)

    @cached_property
    def events_of_users(self) -> NDArray[np.int64]:
        """Events of each user asked about `[num_users]`; 0 for a stranger."""
        counts = np.bincount(self.log.user_rows, minlength=self.num_log_users + 1)  # last: the stranger, row -1
        return counts[self.user_rows]

    @cached_property
    def decayed_weights(self) -> sparse.csr_array:
        """Interest of each user in each item: exp(-age / 30 days) of the events' weights, never negative `[num_log_users + 1, num_items]`.

        The last row is the stranger's and empty, so that row -1 is right.
        """
        of_event = np.array([EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES])[self.log.event_codes]
        decayed = of_event * np.exp(-(self.cut - self.log.occurred_at) / SECONDS_PER_DAY / DECAY_DAYS)
        weights = _table(self, self.log, decayed.astype(np.float32))
        weights.data = np.maximum(weights.data, 0)
        weights.eliminate_zeros()
        return weights

    @cached_property
    def likeness(self) -> sparse.csr_array:
        """Likeness of each item to its `NEIGHBOURS` nearest, itself among them; equals of the last one are kept too `[num_items, num_items]`."""
        touched = (self.decayed_weights > 0).astype(np.float32)
        of_user, of_item = (np.sqrt(np.maximum(touched.sum(axis=axis), 1)) for axis in (1, 0))
        unit = sparse.csr_array(touched / of_user[:, None] / of_item)
        by_item = sparse.csr_array(unit.T)
        blocks = [strongest(by_item[block] @ unit, k=NEIGHBOURS) for block in row_blocks(self.num_items)]
        return sparse.vstack(blocks, format="csr")


def standard_baselines(past: Past, *, k: int) -> dict[str, Rows]:
    """Every baseline of a report by name, each `[num_users, k]`."""
    return {
        "own_history": own_history(past, k=k),
        "item_knn": item_knn(past, k=k, own_items=True),
        "item_knn_new": item_knn(past, k=k, own_items=False),
        "popular_7d": most_popular(past, k=k, decay_days=POPULARITY_DECAY_DAYS),
        "popular": most_popular(past, k=k),
    }


def most_popular(past: Past, *, k: int, decay_days: float | None = None) -> Rows:
    """The most bought items, one list for everybody `[num_users, k]`. A purchase counts exp(-age / decay_days), or always 1."""
    return np.tile(_popular(past, size=k, decay_days=decay_days), (past.num_users, 1))


def own_history(past: Past, *, k: int) -> Rows:
    """What each user bought in most orders, the more popular of equals first, filled with 7-day decayed popularity `[num_users, k]`.

    On Online Retail popularity between equals beats recency (NDCG@10 .354 against .311), and orders beat lines (.349).
    """
    bought = past.purchases.where(past.recommendable[past.purchases.item_rows])
    keys = bought.user_rows.astype(np.int64) * past.num_items + bought.item_rows
    orders = np.where(
        bought.basket_rows >= 0, bought.basket_rows, -1 - np.arange(len(bought))
    )  # unknown: one of its own
    pairs, times = np.unique(np.unique(np.stack([keys, orders]), axis=1)[0], return_counts=True)
    users, items = np.divmod(pairs, past.num_items)
    popularity = _popularity(past, decay_days=POPULARITY_DECAY_DAYS)
    # One row more than there are users: the stranger's, which is the last one and so row -1.
    lists = ranked(users, items, by=(times, popularity[items]), num_users=past.num_log_users + 1, k=k)[past.user_rows]
    return filled(lists, _popular(past, size=2 * k, decay_days=POPULARITY_DECAY_DAYS))


def item_knn(past: Past, *, k: int, own_items: bool) -> Rows:
    """Items like those the user had to do with, filled with 7-day decayed popularity `[num_users, k]`.

    Two items are as alike as the sum over the users they share of 1 / (items of the user x sqrt(users of the one x users of the other)):
    a cosine in which people who touch everything say little. Without that weight recall@20 on Gowalla is .134 instead of .173. An item's
    score for a user is the sum over the user's items of likeness x decayed weight. With `own_items` re-orders compete, an item being
    like itself too; without it nothing the user bought before is in the list.
    """
    weights, bought = past.decayed_weights, _table(past, past.purchases, np.ones(len(past.purchases), np.float32)) > 0
    likeness = sparse.csr_array(past.likeness * past.recommendable)
    lists = np.empty((past.num_users, k), np.int32)
    for block in row_blocks(past.num_users):
        users = past.user_rows[block]
        scores, theirs = weights[users] @ likeness, bought[users]
        # Sums in another order differ in the last digits; rounded, so that ties are ties on every machine.
        scores.data = np.round(scores.data, 6)
        if not own_items:
            scores = scores - scores * theirs
        size = 2 * k + (0 if own_items else int(np.diff(theirs.indptr).max(initial=0)))
        fallback = _popular(past, size=size, decay_days=POPULARITY_DECAY_DAYS)
        forbidden = None if own_items else theirs[:, np.maximum(fallback, 0)].toarray()
        lists[block] = filled(best_of(scores, k=k), fallback, forbidden=forbidden)
    return lists


def _popular(past: Past, *, size: int, decay_days: float | None) -> Rows:
    """Recommendable items that were ever bought, the most popular first, padded with -1 `[size]`."""
    popularity = _popularity(past, decay_days=decay_days) * past.recommendable
    best = np.argsort(-popularity, kind="stable")[:size]
    listed = np.full(size, -1, np.int32)
    listed[: len(best)] = np.where(popularity[best] > 0, best, -1)
    return listed


def _popularity(past: Past, *, decay_days: float | None) -> NDArray[np.float64]:
    """Purchases of each item, each counting exp(-age / decay_days), or 1 `[num_items]`."""
    ages = (past.cut - past.purchases.occurred_at) / SECONDS_PER_DAY
    counts = np.ones(len(ages)) if decay_days is None else np.exp(-ages / decay_days)
    return np.bincount(past.purchases.item_rows, weights=counts, minlength=past.num_items).astype(np.float64)


def _table(past: Past, log: InteractionLog, values: Floats) -> sparse.csr_array:
    shape = (past.num_log_users + 1, past.num_items)
    return sparse.csr_array((values, (log.user_rows, log.item_rows)), shape=shape)
