"""Ranking examples: what the request path would have seen at past cuts, and what the users went on to buy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ml.contract.types import Floats, Rows
from ml.dataset.goals import Goals
from ml.features.vocabulary import Vocabulary
from ml.ranking.settings import RankerSettings
from ml.runtime.bundle import Bundle
from ml.runtime.enrich import FEATURES
from ml.runtime.recommend import ranking_inputs


@dataclass(frozen=True)
class RankingExamples:
    """Candidates of many requests, one request after the other."""

    features: Floats
    """`[num_rows, len(FEATURES)]`"""
    labels: Rows
    """`[num_rows]` 1 where the user went on to buy the item."""
    group_sizes: Rows
    """`[num_requests]`"""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.group_sizes for part in parts]),
        )


def ranking_examples(
    bundle: Bundle, goals: Goals, *, user_ids: Vocabulary, cut: int, settings: RankerSettings
) -> RankingExamples:
    """Examples of one week.

    Args:
        bundle: as of `cut`, the week's first instant.
        goals: of that week; item rows are the bundle's catalogue's, user rows those of `user_ids`.
    """
    rng = np.random.default_rng([settings.seed, cut])
    drawn = rng.permutation(len(goals))[: settings.max_users_per_week]
    features: list[Floats] = [np.empty((0, len(FEATURES)), np.float32)]
    labels: list[Rows] = [np.empty(0, np.int32)]
    for position in np.sort(drawn):
        user = bundle.users.of(user_ids.id(int(goals.user_rows[position])))
        if not len(user.history):
            continue
        candidates, seen = ranking_inputs(bundle, user, user.history, at=cut)
        bought = np.isin(candidates.rows, goals.of(int(position)))
        if not bought.any():
            continue
        kept = _with_some_negatives(bought, rng, settings.negatives_per_user)
        features.append(seen[kept])
        labels.append(bought[kept].astype(np.int32))
    sizes = np.array([len(label) for label in labels if len(label)], np.int32)
    return RankingExamples(np.concatenate(features), np.concatenate(labels), sizes)


def _with_some_negatives(bought: np.ndarray, rng: np.random.Generator, negatives: int) -> Rows:
    others = np.flatnonzero(~bought)
    return np.sort(np.concatenate([np.flatnonzero(bought), rng.permutation(others)[:negatives]])).astype(np.int32)
