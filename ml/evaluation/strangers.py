"""What a new visitor gets: lists for users shown without their id, by nothing but the last few things they did."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict

from ml.contract.types import Rows
from ml.dataset.goals import Goals
from ml.evaluation.intervals import BootstrapSettings, Interval, mean_interval
from ml.evaluation.lists import evenly
from ml.evaluation.ranking_metrics import Hits, Relevant, ndcg_at_k, recall_at_k
from ml.features.history import History
from ml.features.vocabulary import Vocabulary
from ml.runtime.bundle import Bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.state import OnlineState

KNOWN_EVENTS = (0, 1, 3, 5)


class Acquaintance(BaseModel):
    """How good lists are when so much is known of who asks. Every row is of the same users."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_events: int | None
    """Newest events that are known, without an id; None: the id and all of them."""
    ndcg: Interval
    recall: Interval


def acquaintances(
    bundle: Bundle,
    goals: Goals,
    *,
    user_ids: Vocabulary,
    now: datetime,
    known: Rows,
    sample: int,
    top: int,
    depth: int,
    bootstrap: BootstrapSettings,
) -> tuple[Acquaintance, ...]:
    """Rows of `KNOWN_EVENTS`, and one of who is known. Empty where nobody did as much as is to be shown.

    Args:
        known: `[len(goals), depth]` the lists those users get when they are known.
        sample: at most so many users with the goals and enough events, evenly taken.
        top: k of NDCG.
        depth: k of recall, and the length of the lists.
    """
    histories = [bundle.users.of(user_ids.id(int(row))).history for row in goals.user_rows]
    enough = np.flatnonzero([len(history) >= max(KNOWN_EVENTS) for history in histories]).astype(np.int32)
    chosen = enough[evenly(len(enough), sample)]
    if not len(chosen):
        return ()
    relevant = Relevant(goals.starts, goals.item_rows).of_users(chosen)

    def judged(num_events: int | None, lists: Rows) -> Acquaintance:
        hits = Hits.of(lists, relevant)
        return Acquaintance(
            num_events=num_events,
            ndcg=mean_interval(ndcg_at_k(hits, k=top), bootstrap),
            recall=mean_interval(recall_at_k(hits, k=depth), bootstrap),
        )

    some = [histories[position] for position in chosen]
    strangers = (judged(count, lists_of_strangers(bundle, some, count, now=now, k=depth)) for count in KNOWN_EVENTS)
    return (*strangers, judged(None, known[chosen, :depth]))


def lists_of_strangers(bundle: Bundle, histories: Sequence[History], num_events: int, *, now: datetime, k: int) -> Rows:
    """The lists of sessions that did what each history ends with `[len(histories), k]`, -1 where one was shorter."""
    lists = np.full((len(histories), k), -1, np.int32)
    for position, history in enumerate(histories):
        newest = history.taken(np.arange(max(len(history) - num_events, 0), len(history)))
        state = OnlineState(bundle.version, record=History.empty(), live=newest)
        answer = recommend(bundle, HomeRequest(limit=k), state=state, now=now)
        lists[position, : len(answer.items)] = [item.item_row for item in answer.items]
    return lists
