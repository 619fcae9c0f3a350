"""The two towers alone, both stages by the default recipe: figures after every epoch, and what they cost.

    python -m benchmarks.towers DATA_FOLDER --dataset gowalla [--judged] [--users 5000] [--reach 0.1765] [--set embedding_dim=128 ...]

By the contest that choices are made by, and by those that count only when told so; after the last epoch by everyone who is asked about.
Seconds are of making examples and learning; judging is left out of them.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.leaderboard.contest import Contest
from benchmarks.leaderboard.datasets import DATASETS, Dataset
from benchmarks.leaderboard.entry import values_of
from benchmarks.leaderboard.snapshot import snapshot
from ml.contract.types import Floats, Rows
from ml.dataset.training_data import TrainingData
from ml.experiments.recipe import Recipe
from ml.features.history import Histories
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.stages import train_stages
from ml.retrieval.trained import TrainedRetriever


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of online_retail, gowalla and amazon-beauty")
    parser.add_argument("--dataset", nargs="*", choices=[dataset.name for dataset in DATASETS], default=["gowalla"])
    parser.add_argument("--judged", action="store_true", help="by the contests that count")
    parser.add_argument(
        "--users", type=int, default=5_000, help="so many judge an epoch that is not the last, evenly taken"
    )
    parser.add_argument("--reach", type=float, help="a value of the set's first metric: when was it reached?")
    parser.add_argument("--set", nargs="*", default=[], help="values of `retriever`, name=JSON")
    arguments = parser.parse_args()
    settings = RetrieverSettings(
        **{name: json.loads(value) for name, value in (e.split("=", 1) for e in arguments.set)}
    )
    for dataset in DATASETS:
        if dataset.name in arguments.dataset:
            by, judged = dataset.read(arguments.data)
            for contest in judged if arguments.judged else [by]:
                print(f"{dataset.name}, {contest.past.num_users} users", flush=True)
                report(dataset, contest, settings, users=arguments.users, reach=arguments.reach)


@dataclass(frozen=True)
class Measured:
    """The towers after an epoch; the second stage counts on from the first."""

    epoch: int
    wall_seconds: float
    cpu_seconds: float
    values: Mapping[str, float]

    def __str__(self) -> str:
        told = "  ".join(f"{name} {value:.4f}" for name, value in self.values.items())
        return f"  epoch {self.epoch:3d}  {self.wall_seconds:6.0f} s  {self.cpu_seconds:6.0f} CPU-s  {told}"


def report(dataset: Dataset, contest: Contest, settings: RetrieverSettings, *, users: int, reach: float | None) -> None:
    """Print each epoch as it ends, and the first that reached the value."""

    def tell(each: Measured) -> None:
        print(each, flush=True)

    found = measured(contest, settings, metrics=dataset.metrics, users=users, on_epoch=tell)
    if reach is not None:
        first = next((each for each in found if each.values[dataset.metrics[0]] >= reach), None)
        print(f"  {dataset.metrics[0]} {reach}: {'never reached' if first is None else str(first).strip()}", flush=True)


def measured(
    contest: Contest,
    settings: RetrieverSettings,
    *,
    metrics: Sequence[str],
    users: int,
    on_epoch: Callable[[Measured], None] = lambda _: None,
) -> list[Measured]:
    """Both stages, judged after every epoch by at most so many users, after the last by everyone."""
    data, split = snapshot(contest.without_answers(), Recipe().split)
    judges = [some_of(contest, users)] * (settings.epochs + settings.carry_on_epochs - 1) + [contest]
    found: list[Measured] = []
    clock = _Clock()

    def judge(retriever: TrainedRetriever) -> None:
        wall, cpu = clock.stop()
        by = judges[len(found)]
        lists = lists_of(retriever, by, data, at=int(data.cut_at.timestamp()))
        values = values_of([lists], [by], metrics)
        means = {name: float(np.nanmean(each)) for name, each in values.items()}
        found.append(Measured(len(found) + 1, wall, cpu, means))
        on_epoch(found[-1])
        clock.go()

    train_stages(data, split, settings, on_retriever=judge)
    return found


def some_of(contest: Contest, at_most: int) -> Contest:
    """The same question about at most so many of its users, evenly taken."""
    users = contest.past.user_rows
    places = np.unique(np.linspace(0, len(users) - 1, min(at_most, len(users))).astype(np.int32))
    past = replace(contest.past, user_rows=users[places])
    return replace(contest, past=past, relevant=contest.relevant.of_users(places))


def lists_of(retriever: TrainedRetriever, contest: Contest, data: TrainingData, *, at: int) -> Rows:
    """What towers put first for everyone who is asked about `[num_users, DEPTH]`."""
    encoder, users = retriever.encoder, contest.past.user_rows
    queries = retriever.query_vectors(
        encoder.queries(
            encoder.user_ids(data.users_by_row),
            Histories.of(data.log.before(at), num_users=contest.past.num_log_users),
            users,
            np.full(len(users), at, np.int64),
            item_indexes=encoder.item_indexes(data.items_by_row["item_id"]),
        )
    )
    vectors = retriever.item_vectors(data.items_by_row)

    def scores(rows: Rows) -> Floats:
        found: Floats = queries[np.searchsorted(users, rows)] @ vectors.T
        return found

    return contest.lists_of(scores)


class _Clock:
    """Seconds on the wall and of the processor while it goes."""

    def __init__(self) -> None:
        self._gone = np.zeros(2)
        self.go()

    def go(self) -> None:
        self._since = self._now()

    def stop(self) -> tuple[float, float]:
        """All that went by so far."""
        self._gone += self._now() - self._since
        wall, cpu = self._gone.tolist()
        return wall, cpu

    @staticmethod
    def _now() -> Any:
        return np.array([time.perf_counter(), time.process_time()])


if __name__ == "__main__":
    main()
