"""One question asked of every system alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml.contract.types import Floats, Rows
from ml.evaluation.baselines import Past, most_popular
from ml.evaluation.lists import best_of_dense, filled, row_blocks
from ml.evaluation.ranking_metrics import Relevant

DEPTH = 100

Scores = Callable[[Rows], Floats]
"""Scores of every item for some users: user rows `[n]` to `[n, num_items]`."""


@dataclass(frozen=True)
class Contest:
    """What was known, who is asked about, and what they went on to want."""

    past: Past
    relevant: Relevant
    repeats: bool
    """Whether a list may hold what its user already has. People re-order groceries; they check in at a new place once."""
    has_times: bool = True
    """Whether instants are real. Without, they say no more than the order of a user's events, or nothing where all are equal."""
    attributes: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """What the set says of its items, under the names of `DIM_ITEMS` `[num_items]` each."""

    def without_answers(self) -> Self:
        """The question alone: what a system is given."""
        return replace(self, relevant=self.relevant.where(np.zeros(len(self.relevant.item_rows), np.bool_)))

    @cached_property
    def interest(self) -> sparse.csr_array:
        """Faded weight of each user's events `[num_log_users + 1, num_items]`; the last row is the stranger's and empty."""
        return self.past.decayed_weights

    @cached_property
    def touched(self) -> sparse.csr_array:
        """1 where a user had to do with an item, same shape."""
        return (self.interest > 0).astype(np.float32)

    @cached_property
    def popular(self) -> Rows:
        """Popular items that complete any list `[deep enough for the user with most items]`."""
        deepest = int(np.diff(self.touched.indptr).max(initial=0)) + DEPTH
        return most_popular(self.past, k=min(deepest, self.past.num_items))[0]

    def lists_of(self, scores_of: Scores) -> Rows:
        """Ranked lists `[num_users, DEPTH]` of a scoring function, users a few at a time."""
        lists = np.full((self.past.num_users, DEPTH), -1, np.int32)
        for block in row_blocks(self.past.num_users):
            users = self.past.user_rows[block]
            theirs = self.forbidden(users)
            scores = np.where(theirs | ~self.past.recommendable, -np.inf, _rounded(scores_of(users)))
            fallback_forbidden = theirs[:, np.maximum(self.popular, 0)]
            lists[block] = filled(best_of_dense(scores, k=DEPTH), self.popular, forbidden=fallback_forbidden)
        return lists

    def forbidden(self, users: Rows) -> NDArray[np.bool_]:
        """Items these users must not be shown `[num_users, num_items]`."""
        if self.repeats:
            return np.zeros((len(users), self.past.num_items), np.bool_)
        return self.touched[users].toarray() > 0


def _rounded(scores: Floats) -> Floats:
    """To a millionth of each user's largest: sums in another order differ in the last digits, and ties are to be ties on every machine."""
    largest = np.abs(scores).max(axis=1, keepdims=True, initial=0, where=np.isfinite(scores))
    return np.round(scores / np.maximum(largest, np.finfo(np.float32).tiny), 6)
