"""Choosing by one contest, judging by others; each system in a process of its own, so that its time and memory are its own."""

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.leaderboard.contest import Contest
from benchmarks.leaderboard.datasets import Dataset
from benchmarks.leaderboard.peers import Choices, Peer
from ml.contract.types import Rows
from ml.evaluation.intervals import mean_interval
from ml.evaluation.ranking_metrics import Hits, PerUser, Relevant, hit_rate_at_k, ndcg_at_k, recall_at_k

METRICS = {"recall": recall_at_k, "ndcg": ndcg_at_k, "hit_rate": hit_rate_at_k}


@dataclass(frozen=True)
class Entry:
    """One line of the leaderboard."""

    dataset: str
    system: str
    choices: Mapping[str, Any]
    trials: int
    values: Mapping[str, tuple[float, float, float]]
    """Mean, lower and upper bound of the 95 % interval, by metric."""
    cpu_seconds: float
    """Of the judged run alone, fitting and listing; the search is not in it."""
    peak_mb: float


def entered(dataset: Dataset, peer: Peer, folder: Path, *, trials: int, seed: int) -> tuple[Entry, list[Rows]]:
    """Choose, then judge. The lists too, one array a contest."""
    by, judged = dataset.read(folder)
    choices, tried = chosen(peer, by, metric=dataset.metrics[0], trials=trials, seed=seed)
    before = time.process_time()
    lists = [peer.lists(contest, choices, seed) for contest in judged]
    entry = Entry(
        dataset=dataset.name,
        system=peer.name,
        choices=choices,
        trials=tried,
        values=values_of(lists, [contest.relevant for contest in judged], dataset.metrics),
        cpu_seconds=round(time.process_time() - before, 1),
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )
    return entry, lists


def chosen(peer: Peer, contest: Contest, *, metric: str, trials: int, seed: int) -> tuple[Choices, int]:
    """The best of at most `trials` combinations, drawn without repetition; and how many were tried."""
    drawn = list(drawn_choices(peer, trials=trials, seed=seed))
    if len(drawn) == 1:
        return drawn[0], 0
    scores = []
    for choices in drawn:
        hits = Hits.of(peer.lists(contest, choices, seed), contest.relevant)
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


def values_of(
    lists: Sequence[Rows], relevant: Sequence[Relevant], metrics: Sequence[str]
) -> dict[str, tuple[float, float, float]]:
    """Means over the users of all contests, with intervals."""
    hits = [Hits.of(found, wanted) for found, wanted in zip(lists, relevant, strict=True)]
    found = {}
    for metric in metrics:
        interval = mean_interval(np.concatenate([measured(each, metric) for each in hits]))
        assert interval.mean is not None
        assert interval.low is not None
        assert interval.high is not None
        found[metric] = (interval.mean, interval.low, interval.high)
    return found
