"""Ranking examples: what the request path would have seen at past cuts, and what came of each item afterwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.dataset.goals import Goals
from ml.dataset.outcomes import Outcomes
from ml.features.vocabulary import Vocabulary
from ml.ranking.settings import RankerSettings
from ml.ranking.worth import GRADES, grades
from ml.runtime.bundle import Bundle
from ml.runtime.enrich import FEATURES
from ml.runtime.recommend import ranking_inputs


@dataclass(frozen=True)
class RankingExamples:
    """Candidates of many requests, one request after the other."""

    features: Floats
    """`[num_rows, len(FEATURES)]`"""
    labels: Rows
    """`[num_rows]` Grades of what the user went on to do with the item, 0 where nothing; see `ml.ranking.worth`."""
    group_sizes: Rows
    """`[num_requests]`"""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.group_sizes for part in parts]),
        )

    @property
    def weights(self) -> Floats:
        """`[num_rows]` A request counts as much as the best that came of it: of a week with few buyers those who only looked help, and
        do not drown them."""
        starts = np.cumsum(self.group_sizes) - self.group_sizes
        best = np.maximum.reduceat(self.labels, starts) / np.float32(GRADES)
        return np.repeat(best, self.group_sizes).astype(np.float32)


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
    labels: list[Rows] = [np.empty(0, np.int32)]
    drawn = list(_drawn(bundle, outcomes, user_ids, rng, settings))
    negatives = min(settings.negatives_per_user, settings.rows_per_week // max(len(drawn), 1))
    for user_id, items, worth in drawn:
        user = bundle.users.of(user_id)
        candidates, seen = ranking_inputs(bundle, user, user.history, at=cut)
        graded = _at(candidates.rows, items, worth)
        if not graded.any():
            continue
        kept = _with_some_negatives(graded > 0, rng, negatives)
        features.append(seen[kept])
        labels.append(graded[kept])
    sizes = np.array([len(label) for label in labels if len(label)], np.int32)
    return RankingExamples(np.concatenate(features), np.concatenate(labels), sizes)


def _drawn(
    bundle: Bundle, outcomes: Outcomes, user_ids: Vocabulary, rng: np.random.Generator, settings: RankerSettings
) -> Iterator[tuple[str, Rows, Rows]]:
    """Users the bundle knows, each with items and their grades: those who reached the goal before those who did not, else by lot."""
    goals, worth = outcomes.goals, grades(outcomes.values, settings)
    known = bundle.users.vocabulary.rows(user_ids.ids.take(pa.array(goals.user_rows))) >= 0
    converted, graded = (_any_of_user(goals, pairs) for pairs in (outcomes.values[:, 1] > 0, worth > 0))
    order = np.lexsort((rng.random(len(goals)), ~converted))
    drawn = order[(known & graded)[order]][: settings.max_users_per_week]
    for position in np.sort(drawn).tolist():
        mine = slice(goals.starts[position], goals.starts[position + 1])
        yield user_ids.id(int(goals.user_rows[position])), goals.item_rows[mine], worth[mine]


def _at(rows: Rows, items: Rows, worth: Rows) -> Rows:
    """Grades of `rows`; `items` ascend."""
    places = np.minimum(np.searchsorted(items, rows), len(items) - 1)
    return np.where(items[places] == rows, worth[places], 0).astype(np.int32)


def _any_of_user(goals: Goals, pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.logical_or.reduceat(pairs, goals.starts[:-1]) if len(goals) else np.zeros(0, np.bool_)


def _with_some_negatives(chosen: NDArray[np.bool_], rng: np.random.Generator, negatives: int) -> Rows:
    others = np.flatnonzero(~chosen)
    return np.sort(np.concatenate([np.flatnonzero(chosen), rng.permutation(others)[:negatives]])).astype(np.int32)
