"""Metrics of ranked lists, one value a user.

Two promises hold for all of them: a user with nothing relevant has the value NaN ("not judged", left out of every mean), and an
empty list of a user who did want something has the value 0. Positions count from 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import ContractError
from ml.contract.types import Rows

PerUser = NDArray[np.float64]
"""`[num_users]`, NaN where not judged."""


@dataclass(frozen=True)
class Relevant:
    """The items each user turned out to want: user `u` owns the slice `starts[u]:starts[u + 1]`, distinct and ascending."""

    starts: NDArray[np.int64]
    """`[num_users + 1]`."""
    item_rows: Rows
    """`[num_pairs]`."""

    @classmethod
    def of_pairs(cls, user_rows: Rows, item_rows: Rows, *, num_users: int) -> Self:
        """Of (user, item) pairs in any order; a repeated pair counts once."""
        span = int(item_rows.max(initial=0)) + 1
        pairs = np.unique(user_rows.astype(np.int64) * span + item_rows)
        starts = np.searchsorted(pairs, np.arange(num_users + 1) * span)
        return cls(starts.astype(np.int64), (pairs % span).astype(np.int32))

    @classmethod
    def of_lists(cls, items_of_users: Sequence[Iterable[int]]) -> Self:
        """Of one collection of item rows per user."""
        pairs = [(user, item) for user, items in enumerate(items_of_users) for item in items]
        user_rows, item_rows = np.array(pairs, np.int32).reshape(-1, 2).T
        return cls.of_pairs(user_rows, item_rows, num_users=len(items_of_users))

    @property
    def num_users(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Relevant items of each user `[num_users]`."""
        return np.diff(self.starts)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The user each pair belongs to `[num_pairs]`."""
        return np.repeat(np.arange(self.num_users), self.counts)

    def of_users(self, positions: Rows) -> Self:
        """Of some users alone, in the order given."""
        return type(self).of_lists([self.item_rows[self.starts[i] : self.starts[i + 1]].tolist() for i in positions])

    def where(self, pairs: NDArray[np.bool_]) -> Self:
        """The same users with only the pairs of a mask `[num_pairs]`."""
        starts = np.concatenate([[0], np.cumsum(pairs)])[self.starts]
        return type(self)(starts.astype(np.int64), self.item_rows[pairs])


@dataclass(frozen=True)
class Hits:
    """Ranked lists held against what was relevant: all that a ranking metric needs."""

    at: NDArray[np.bool_]
    """`[num_users, depth]`: the item at this position was relevant."""
    num_relevant: NDArray[np.int64]
    """`[num_users]`."""

    @classmethod
    def of(cls, recommended: Rows, relevant: Relevant) -> Self:
        """Of lists `[num_users, depth]`, best first, padded with -1.

        Raises:
            ContractError: the numbers of users differ, or a list holds an item twice (it would be a hit twice).
        """
        if len(recommended) != relevant.num_users:
            raise ContractError(
                f"`recommended` needs one list per user of `relevant`. Received: {len(recommended)} lists for "
                f"{relevant.num_users} users. Build both from the same user order."
            )
        _raise_on_repeats(recommended)
        # One sorted search over (user, item) keys instead of a set per user: 30 000 lists of 100 take a quarter of a second.
        span = int(max(recommended.max(initial=0), relevant.item_rows.max(initial=0))) + 1
        wanted = relevant.owners * span + relevant.item_rows
        listed = np.arange(len(recommended), dtype=np.int64)[:, None] * span + recommended
        return cls(np.isin(listed, wanted) & (recommended >= 0), relevant.counts)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Users with something to find `[num_users]`."""
        return self.num_relevant > 0

    def top(self, k: int) -> NDArray[np.bool_]:
        """Hits of the first `k` positions `[num_users, k]`.

        Raises:
            ContractError: the lists are shorter than `k`; a metric at 100 of lists of 50 would silently be one at 50.
        """
        depth = self.at.shape[1]
        if not 1 <= k <= depth:
            raise ContractError(
                f"`k` must be between 1 and the depth of the lists, {depth}. Received: {k}. Ask for longer lists (pad with -1)."
            )
        return self.at[:, :k]


def recall_at_k(hits: Hits, *, k: int) -> PerUser:
    """Share of the relevant items found: hits in the first k / number relevant. The denominator is *not* min(k, relevant).

    Two of four wanted items are in the first three:

    >>> hits = Hits.of(np.array([[7, 1, 2, 3]], np.int32), Relevant.of_lists([{1, 2, 3, 4}]))
    >>> recall_at_k(hits, k=3).tolist()
    [0.5]
    """
    return _judged(hits, hits.top(k).sum(axis=1) / np.maximum(hits.num_relevant, 1))


def precision_at_k(hits: Hits, *, k: int) -> PerUser:
    """Share of the first k positions that hit: hits / k. A position left empty is a miss.

    >>> precision_at_k(Hits.of(np.array([[1, -1]], np.int32), Relevant.of_lists([{1}])), k=2).tolist()
    [0.5]
    """
    return _judged(hits, hits.top(k).mean(axis=1))


def hit_rate_at_k(hits: Hits, *, k: int) -> PerUser:
    """1 when at least one of the first k items is relevant, else 0.

    >>> hits = Hits.of(np.array([[7, 1], [7, 8]], np.int32), Relevant.of_lists([{1}, {1}]))
    >>> hit_rate_at_k(hits, k=2).tolist()
    [1.0, 0.0]
    """
    return _judged(hits, hits.top(k).any(axis=1).astype(np.float64))


def ndcg_at_k(hits: Hits, *, k: int) -> PerUser:
    """Discounted gain over the best one possible: sum of 1 / log2(position + 1) of the hits, divided by that sum for
    min(k, relevant) hits placed first. Gains are 0 or 1.

    One of two wanted items is third: (1 / log2 4) / (1 / log2 2 + 1 / log2 3).

    >>> hits = Hits.of(np.array([[7, 8, 1]], np.int32), Relevant.of_lists([{1, 2}]))
    >>> ndcg_at_k(hits, k=3).tolist() == [(1 / np.log2(4)) / (1 / np.log2(2) + 1 / np.log2(3))]
    True
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.clip(hits.num_relevant, 1, k) - 1]
    return _judged(hits, hits.top(k) @ discounts / ideal)


def average_precision_at_k(hits: Hits, *, k: int) -> PerUser:
    """Mean over users is MAP@k: sum over the hits of (hits so far / position), divided by min(k, relevant).

    Hits at positions 1 and 3, two wanted: (1/1 + 2/3) / 2.

    >>> hits = Hits.of(np.array([[1, 7, 2]], np.int32), Relevant.of_lists([{1, 2}]))
    >>> average_precision_at_k(hits, k=3).tolist() == [(1 / 1 + 2 / 3) / 2]
    True
    """
    found = hits.top(k)
    precisions = np.cumsum(found, axis=1) / np.arange(1, k + 1)
    return _judged(hits, (found * precisions).sum(axis=1) / np.clip(hits.num_relevant, 1, k))


def reciprocal_rank_at_k(hits: Hits, *, k: int) -> PerUser:
    """Mean over users is MRR@k: 1 / position of the first hit, 0 when none of the first k hits.

    >>> reciprocal_rank_at_k(Hits.of(np.array([[7, 8, 1]], np.int32), Relevant.of_lists([{1}])), k=3).tolist()
    [0.3333333333333333]
    """
    found = hits.top(k)
    return _judged(hits, np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1), 0.0))


def _judged(hits: Hits, values: NDArray[np.float64] | np.float64) -> PerUser:
    return np.where(hits.judged, values, np.nan)


def _raise_on_repeats(recommended: Rows) -> None:
    ordered = np.sort(recommended, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if repeated.any():
        user = int(repeated.any(axis=1).argmax())
        item = int(ordered[user, 1:][repeated[user]][0])
        raise ContractError(
            f"A list holds each item once. Received: item row {item} twice in list {user}. Remove duplicates before ranking."
        )
