"""Asks the request path, the very functions that answer customers, for the lists of a past instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.dataset.goals import Goals
from ml.evaluation.lists import evenly
from ml.evaluation.ranking_metrics import Relevant
from ml.evaluation.report import CandidateRecall
from ml.features.vocabulary import Vocabulary
from ml.runtime.answer import Inputs
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.recommend import Workings, arranged, worked_out
from ml.runtime.requests import HomeRequest
from ml.runtime.settings import RequestSettings
from ml.runtime.state import OnlineState


@dataclass(frozen=True)
class Replay:
    """The lists a bundle would have shown to users who then reached a goal."""

    user_rows: Rows
    """`[num_users]` of the training data."""
    recommended: Rows
    """`[num_users, k]`, -1 where a list was shorter."""
    unranked: Rows
    """`[num_users, k]`: the same candidates in the order of the blend, as if there were no ranker."""
    relevant: Relevant
    seconds: Floats
    """`[num_users]` each answer took, without HTTP."""
    candidates: tuple[CandidateRecall, ...]
    """Of each source, and of all of them together as `any`; of known users."""
    sampled: Rows
    """`[num_sampled]` positions of the users whose lists were arranged otherwise, too."""
    otherwise: Mapping[str, Rows] = field(default_factory=dict)
    """By name of other settings, the lists of the sampled users `[num_sampled, k]`."""


def replay(
    bundle: Bundle,
    goals: Goals,
    *,
    user_ids: Vocabulary,
    now: datetime,
    k: int = 100,
    otherwise: Mapping[str, RequestSettings] | None = None,
    sample: int = 0,
) -> Replay:
    """One home page request at `now` for each user of `goals`.

    Args:
        bundle: with the tables of `now`.
        goals: reached after `now`; item rows are the bundle's catalogue's.
        otherwise: settings under which the scored candidates of a sample of users are arranged once more.
        sample: users of that sample.
    """
    others = {name: replace(bundle, settings=settings) for name, settings in (otherwise or {}).items()}
    sampled = evenly(len(goals), sample if others else 0)
    places = {position: place for place, position in enumerate(sampled.tolist())}
    lists, unranked = (np.full((len(goals), k), -1, np.int32) for _ in range(2))
    arranged_otherwise = {name: np.full((len(sampled), k), -1, np.int32) for name in others}
    seconds, recalls = np.zeros(len(goals), np.float32), []
    for position, user_row in enumerate(goals.user_rows):
        inputs = inputs_of(bundle, user_ids.id(int(user_row)), now=now, k=k)
        started = perf_counter()
        workings = worked_out(bundle, inputs)
        answer = workings.answer()
        seconds[position] = perf_counter() - started
        lists[position, : len(answer.items)] = [item.item_row for item in answer.items]
        _put(unranked, position, _rearranged(workings, bundle, without_ranker=True))
        if position in places:
            for name, other in others.items():
                _put(arranged_otherwise[name], places[position], _rearranged(workings, other))
        if workings.scored.personalised:
            recalls.append(_recall(workings.scored.candidates, goals.of(position)))
    return Replay(
        user_rows=goals.user_rows,
        recommended=lists,
        unranked=unranked,
        relevant=Relevant(goals.starts, goals.item_rows),
        seconds=seconds,
        candidates=_mean_recalls(recalls),
        sampled=sampled,
        otherwise=arranged_otherwise,
    )


def inputs_of(bundle: Bundle, user_id: str, *, now: datetime, k: int) -> Inputs:
    """A home page request of a user of whom a bundle's own record is all that is known."""
    state = OnlineState.of_record(bundle, bundle.users.of(user_id))
    return Inputs(HomeRequest(user_id=user_id, limit=k), state, now, seed=None)


def _rearranged(workings: Workings, bundle: Bundle, *, without_ranker: bool = False) -> Rows:
    """The list of the same candidates under a bundle's settings."""
    scored = workings.scored
    if without_ranker:
        scored = scored.without_ranker(bundle.settings.hybrid)
    return arranged(bundle, workings.inputs, workings.allowed, scored).shown


def _put(lists: Rows, position: int, rows: Rows) -> None:
    lists[position, : len(rows)] = rows


def _recall(candidates: Candidates, wanted: Rows) -> NDArray[np.float64]:
    """Share of what one user wanted that each source proposed, and any; below, how many each proposed `[2, sources + 1]`."""
    by = np.column_stack([candidates.proposed, np.ones(len(candidates.rows), np.bool_)])
    return np.stack([by[np.isin(candidates.rows, wanted)].sum(axis=0) / len(wanted), by.sum(axis=0)])


def _mean_recalls(recalls: Sequence[NDArray[np.float64]]) -> tuple[CandidateRecall, ...]:
    """What no ranker can make up for."""
    if not recalls:
        return ()
    shares, sizes = np.mean(recalls, axis=0)
    return tuple(
        CandidateRecall(source=name, recall=float(share), mean_candidates=float(size))
        for name, share, size in zip((*SOURCES, "any"), shares, sizes, strict=True)
    )
