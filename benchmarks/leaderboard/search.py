"""Choosing: at most so many trials by one contest, drawn by a seed; the same number for every system but one of a far larger space."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from benchmarks.leaderboard.contest import Contest
from benchmarks.leaderboard.peers import Choices, Peer
from ml.evaluation.ranking_metrics import Hits, PerUser, hit_rate_at_k, ndcg_at_k, recall_at_k

METRICS = {"recall": recall_at_k, "ndcg": ndcg_at_k, "hit_rate": hit_rate_at_k}


def chosen(peer: Peer, contest: Contest, *, metric: str, trials: int, seed: int) -> tuple[Choices, int]:
    """The best of at most `trials` combinations a budget, drawn without repetition; and how many were tried."""
    drawn = list(drawn_choices(peer, trials=trials * peer.budgets, seed=seed))
    if len(drawn) == 1:
        return drawn[0], 0
    question = contest.without_answers()
    scores = []
    for choices in drawn:
        hits = Hits.of(peer.lists(question, choices, seed), contest.relevant)
        scores.append(float(np.nanmean(measured(hits, metric))))
    return drawn[int(np.argmax(scores))], len(drawn)


def drawn_choices(peer: Peer, *, trials: int, seed: int) -> Iterator[Choices]:
    """Some of the combinations, all where there are no more than `trials`."""
    combinations = [dict(zip(peer.space, values, strict=True)) for values in product(*peer.space.values())]
    order = np.random.default_rng(seed).permutation(len(combinations))
    return (combinations[place] for place in order[:trials])


def measured(hits: Hits, metric: str) -> PerUser:
    """A metric by its name, `ndcg@10` say."""
    name, depth = metric.split("@")
    return METRICS[name](hits, k=int(depth))
