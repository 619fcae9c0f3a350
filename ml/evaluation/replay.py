"""Asks `recommend()`, the very function that answers customers, for the lists of a past instant."""

from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import numpy as np

from ml.contract.types import Floats, Rows
from ml.dataset.goals import Goals
from ml.evaluation.ranking_metrics import Relevant
from ml.evaluation.report import CandidateRecall
from ml.features.vocabulary import Vocabulary
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import SOURCES
from ml.runtime.recommend import ranking_inputs, recommend
from ml.runtime.requests import HomeRequest


@dataclass(frozen=True)
class Replay:
    """The lists a bundle would have shown to users who then reached a goal."""

    user_rows: Rows
    """`[num_users]` of the training data."""
    recommended: Rows
    """`[num_users, k]`, -1 where a list was shorter."""
    relevant: Relevant
    seconds: Floats
    """`[num_users]` each `recommend()` took, without HTTP."""
    candidates: tuple[CandidateRecall, ...]
    """Of each source, and of all of them together as `any`; of known users."""


def replay(bundle: Bundle, goals: Goals, *, user_ids: Vocabulary, now: datetime, k: int = 100) -> Replay:
    """One home page request at `now` for each user of `goals`.

    Args:
        bundle: with the tables of `now`.
        goals: reached after `now`; item rows are the bundle's catalogue's.
    """
    recommended = np.full((len(goals), k), -1, np.int32)
    seconds = np.zeros(len(goals), np.float32)
    for position, user_row in enumerate(goals.user_rows):
        request = HomeRequest(user_id=user_ids.id(int(user_row)), limit=k)
        started = perf_counter()
        answer = recommend(bundle, request, now=now)
        seconds[position] = perf_counter() - started
        recommended[position, : len(answer.items)] = [item.item_row for item in answer.items]
    return Replay(
        user_rows=goals.user_rows,
        recommended=recommended,
        relevant=Relevant(goals.starts, goals.item_rows),
        seconds=seconds,
        candidates=candidate_recall(bundle, goals, user_ids=user_ids, now=now),
    )


def candidate_recall(
    bundle: Bundle, goals: Goals, *, user_ids: Vocabulary, now: datetime
) -> tuple[CandidateRecall, ...]:
    """What no ranker can make up for: the share of each known user's goals among the candidates, by source."""
    recalls, sizes = [], []
    for position, user_row in enumerate(goals.user_rows):
        user = bundle.users.of(user_ids.id(int(user_row)))
        if not len(user.history):
            continue
        candidates, _ = ranking_inputs(bundle, user, user.history, at=int(now.timestamp()))
        by = np.column_stack([candidates.proposed, np.ones(len(candidates.rows), np.bool_)])
        wanted = goals.of(position)
        recalls.append(by[np.isin(candidates.rows, wanted)].sum(axis=0) / len(wanted))
        sizes.append(by.sum(axis=0))
    if not recalls:
        return ()
    means = zip((*SOURCES, "any"), np.mean(recalls, axis=0), np.mean(sizes, axis=0), strict=True)
    return tuple(CandidateRecall(source=name, recall=float(r), mean_candidates=float(n)) for name, r, n in means)
