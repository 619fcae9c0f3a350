"""Ranking examples: what the request path would have seen at past cuts, and what came of each item afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.dataset.outcomes import OUTCOMES, Outcomes
from ml.features.vocabulary import Vocabulary
from ml.ranking.settings import RankerSettings
from ml.ranking.worth import grades
from ml.runtime.bundle import Bundle
from ml.runtime.enrich import FEATURES
from ml.runtime.recommend import ranking_inputs


@dataclass(frozen=True)
class RankingExamples:
    """Candidates of many requests, one request after the other."""

    features: Floats
    """`[num_rows, len(FEATURES)]`"""
    outcomes: Floats
    """`[num_rows, len(OUTCOMES)]` What came of the item, 0 where nothing did."""
    group_sizes: Rows
    """`[num_requests]`"""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.outcomes for part in parts]),
            np.concatenate([part.group_sizes for part in parts]),
        )


def ranking_examples(
    bundle: Bundle, outcomes: Outcomes, *, user_ids: Vocabulary, cut: int, settings: RankerSettings
) -> RankingExamples:
    """Examples of one week.

    Args:
        bundle: as of `cut`, the week's first instant.
        outcomes: of that week; item rows are the bundle's catalogue's, user rows those of `user_ids`.
    """
    rng = np.random.default_rng([settings.seed, cut])
    features: list[Floats] = [np.empty((0, len(FEATURES)), np.float32)]
    came: list[Floats] = [np.empty((0, len(OUTCOMES)), np.float32)]
    drawn = _drawn(bundle, outcomes, user_ids, rng, settings)
    negatives = min(settings.negatives_per_user, settings.rows_per_week // max(len(drawn), 1))
    for position in drawn.tolist():
        user = bundle.users.of(user_ids.id(int(outcomes.goals.user_rows[position])))
        candidates, seen = ranking_inputs(bundle, user, user.history, at=cut)
        of_rows = outcomes.of(position, candidates.rows)
        wanted: NDArray[np.bool_] = np.logical_or.reduce(of_rows > 0, axis=1)
        if not wanted.any():
            continue
        kept = _with_some_negatives(wanted, rng, negatives)
        features.append(seen[kept])
        came.append(of_rows[kept])
    sizes = np.array([len(rows) for rows in came if len(rows)], np.int32)
    return RankingExamples(np.concatenate(features), np.concatenate(came), sizes)


def _drawn(
    bundle: Bundle, outcomes: Outcomes, user_ids: Vocabulary, rng: np.random.Generator, settings: RankerSettings
) -> NDArray[np.int64]:
    """Positions of users the bundle knows: those who reached the goal before those who did not, else by lot; ascending."""
    goals = outcomes.goals
    if not len(goals):
        return np.empty(0, np.int64)
    known = bundle.users.vocabulary.rows(user_ids.ids.take(pa.array(goals.user_rows))) >= 0
    worth, converted = grades(outcomes.values, settings), outcomes.values[:, OUTCOMES.index("conversion")]
    best, buys = (np.maximum.reduceat(pairs, goals.starts[:-1]) for pairs in (worth, converted))
    order = np.lexsort((rng.random(len(goals)), -buys))
    return np.sort(order[(known & (best > 0))[order]][: settings.max_users_per_week])


def _with_some_negatives(chosen: NDArray[np.bool_], rng: np.random.Generator, negatives: int) -> Rows:
    others = np.flatnonzero(~chosen)
    return np.sort(np.concatenate([np.flatnonzero(chosen), rng.permutation(others)[:negatives]])).astype(np.int32)
