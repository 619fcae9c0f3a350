"""One system on one set, in a process of its own, so that its time and memory are its own.

    python -m benchmarks.leaderboard.entry DATA_FOLDER DATASET SYSTEM --into FOLDER [--trials 8] [--recipe FILE] [--rehearsal]

A rehearsal is judged by the contest that choices are made by: what is being developed is looked at there, so that the contests which count
stay unseen.
"""

import argparse
import json
import re
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.leaderboard import aisle
from benchmarks.leaderboard.contest import Contest
from benchmarks.leaderboard.datasets import DATASETS, Dataset
from benchmarks.leaderboard.peers import PEERS
from benchmarks.leaderboard.search import chosen, measured
from ml.contract.types import Rows
from ml.evaluation.ranking_metrics import Hits
from ml.experiments.recipe import Recipe

SEED = 7


@dataclass(frozen=True)
class Entry:
    """A row of the leaderboard, and the value of each user it is the mean of."""

    system: str
    ours: bool
    choices: Mapping[str, Any]
    trials: int
    cpu_seconds: float
    """Of the judged run alone, fitting and listing."""
    search_cpu_seconds: float
    peak_mb: float
    """Of the whole process, libraries and search included."""
    values: Mapping[str, NDArray[np.float64]]
    """By metric `[num_values]`, one contest after the other."""
    owners: Rows
    """`[num_values]`: the user each value is of."""
    contests: Rows
    """`[num_values]`: the contest each value is of."""

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        facts = asdict(self)
        arrays = {**facts.pop("values"), **{name: facts.pop(name) for name in ("owners", "contests")}}
        np.savez_compressed(folder / f"{slug(self.system)}.npz", allow_pickle=False, **arrays)
        (folder / f"{slug(self.system)}.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Of the JSON it was saved as."""
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            arrays = dict(stored)
        owners, contests = arrays.pop("owners"), arrays.pop("contests")
        return cls(**json.loads(path.read_text()), values=arrays, owners=owners, contests=contests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("dataset", choices=[dataset.name for dataset in DATASETS])
    parser.add_argument("system", choices=[*(peer.name for peer in PEERS), aisle.NAME])
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--recipe", type=Path, help="of Aisle; the default recipe without it")
    parser.add_argument("--rehearsal", action="store_true")
    arguments = parser.parse_args()
    dataset = next(each for each in DATASETS if each.name == arguments.dataset)
    if arguments.rehearsal:
        dataset = rehearsal(dataset)
    recipe = Recipe.read(arguments.recipe)
    for entry in entries(dataset, arguments.system, arguments.data, trials=arguments.trials, recipe=recipe):
        entry.save(arguments.into)
        means = ", ".join(f"{metric} {np.nanmean(values):.4f}" for metric, values in entry.values.items())
        print(
            f"{dataset.name}: {entry.system}: {means} ({entry.cpu_seconds:.0f} CPU s, {entry.peak_mb:.0f} MB)",
            flush=True,
        )


def rehearsal(dataset: Dataset) -> Dataset:
    """The same set, judged by nothing but the contest for choosing."""

    def read(data: Path) -> tuple[Contest, Sequence[Contest]]:
        by, _ = dataset.read(data)
        return by, [by]

    return replace(dataset, read=read)


def entries(dataset: Dataset, system: str, data: Path, *, trials: int, recipe: Recipe | None = None) -> list[Entry]:
    """Choose, then judge: one entry of a peer, one of each stage of Aisle, which chooses nothing."""
    by, judged = dataset.read(data)
    if system == aisle.NAME:
        return _judged(dataset, judged, partial(aisle.lists, recipe=recipe), ours=True)
    peer = next(each for each in PEERS if each.name == system)
    started = time.process_time()
    choices, tried = chosen(peer, by, metric=dataset.metrics[0], trials=trials, seed=SEED)
    search = time.process_time() - started

    def lists(contest: Contest) -> dict[str, Rows]:
        return {peer.name: peer.lists(contest, choices, SEED)}

    return _judged(dataset, judged, lists, choices=choices, trials=tried, search_cpu_seconds=round(search, 1))


def _judged(
    dataset: Dataset,
    judged: Sequence[Contest],
    lists: Callable[[Contest], dict[str, Rows]],
    *,
    ours: bool = False,
    choices: Mapping[str, Any] | None = None,
    trials: int = 0,
    search_cpu_seconds: float = 0.0,
) -> list[Entry]:
    started = time.process_time()
    found = [lists(contest.without_answers()) for contest in judged]
    cpu_seconds = round(time.process_time() - started, 1)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return [
        Entry(
            system=name,
            ours=ours,
            choices=choices or {},
            trials=trials,
            cpu_seconds=cpu_seconds,
            search_cpu_seconds=search_cpu_seconds,
            peak_mb=peak_mb,
            values=values_of([each[name] for each in found], judged, dataset.metrics),
            owners=np.concatenate([contest.past.user_rows for contest in judged]),
            contests=np.repeat(np.arange(len(judged)), [contest.past.num_users for contest in judged]).astype(np.int32),
        )
        for name in found[0]
    ]


def values_of(
    lists: Sequence[Rows], contests: Sequence[Contest], metrics: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """The value of each user of each contest, by metric."""
    hits = [Hits.of(found, contest.relevant) for found, contest in zip(lists, contests, strict=True)]
    return {metric: np.concatenate([measured(each, metric) for each in hits]) for metric in metrics}


def is_kept(folder: Path, system: str) -> bool:
    """Whether all rows of a system are there."""
    rows = (aisle.TOWERS, aisle.BLENDED, aisle.RANKED) if system == aisle.NAME else (system,)
    return all((folder / f"{slug(row)}.json").exists() for row in rows)


def slug(system: str) -> str:
    """Of a file.

    >>> slug("Aisle, two towers alone")
    'aisle_two_towers_alone'
    """
    return re.sub(r"[^a-z0-9-]+", "_", system.lower()).strip("_")


if __name__ == "__main__":
    main()
