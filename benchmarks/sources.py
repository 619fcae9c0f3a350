"""What each source finds by itself, on the contest that choices are made by; no list that counts is looked at.

python -m benchmarks.sources DATA_FOLDER --dataset gowalla beauty online_retail [--users 1000] [--set ease_l2=100 ...]

The towers are not among the sources here: they take long to learn and have figures of their own.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.leaderboard.contest import Contest
from benchmarks.leaderboard.datasets import DATASETS
from benchmarks.leaderboard.snapshot import snapshot
from ml.candidates.assemble import catalogue_at, log_at, users_at
from ml.candidates.fit import fit_sources
from ml.candidates.settings import SourceSettings
from ml.contract.types import Floats, Rows
from ml.experiments.recipe import Recipe
from ml.features.history import History
from ml.runtime.candidates import NEIGHBOURS, CandidateSettings, SourceTables
from ml.runtime.sparse_scores import SparseScores

DEPTHS = (20, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of online_retail, gowalla and amazon-beauty")
    parser.add_argument("--dataset", nargs="*", choices=[dataset.name for dataset in DATASETS], default=["gowalla"])
    parser.add_argument("--users", type=int, default=1_000, help="so many of those who are asked about, evenly taken")
    parser.add_argument("--set", nargs="*", default=[], help="values of `sources` or `request.candidates`, name=number")
    arguments = parser.parse_args()
    chosen = {name: json.loads(value) for name, value in (each.split("=") for each in arguments.set)}
    for dataset in DATASETS:
        if dataset.name in arguments.dataset:
            contest, _ = dataset.read(arguments.data)
            print(f"{dataset.name}  {chosen or ''}")
            report(contest, chosen, num_users=arguments.users)


def report(contest: Contest, chosen: Mapping[str, float], *, num_users: int) -> None:
    """Print recall at each depth by source."""
    started = time.process_time()
    found = recalls(contest, chosen, num_users=num_users)
    print(f"  {time.process_time() - started:.1f} CPU-s")
    for name, means in found.items():
        told = "  ".join(f"recall@{depth} {mean:.4f}" for depth, mean in zip(DEPTHS, means, strict=True))
        print(f"  {name:16s} {told}")


def recalls(contest: Contest, chosen: Mapping[str, float], *, num_users: int) -> dict[str, Floats]:
    """Mean recall of each source `[len(DEPTHS)]`.

    Args:
        chosen: values of `SourceSettings` and `CandidateSettings` by their names.
    """
    fitted, asked = (
        {name: value for name, value in chosen.items() if name in settings.model_fields}
        for settings in (SourceSettings, CandidateSettings)
    )
    data, _ = snapshot(contest, Recipe().split)
    items = catalogue_at(data, data.cut_at)
    log, cut = log_at(data, data.cut_at, items), int(data.cut_at.timestamp())
    tables = fit_sources(log, items, cut=cut, settings=SourceSettings(**fitted))
    users, settings = users_at(data, data.cut_at, log), CandidateSettings(**asked)
    found: dict[str, list[Floats]] = {}
    for place in np.unique(np.linspace(0, contest.past.num_users - 1, num_users).astype(np.int64)):
        past = users.of(f"u{contest.past.user_rows[place]:07d}").history
        starts = contest.relevant.starts
        wanted = items.vocabulary.rows(
            [f"i{item:07d}" for item in contest.relevant.item_rows[starts[place] : starts[place + 1]]]
        )
        allowed = items.available.copy()
        if not contest.repeats:
            allowed[past.item_rows] = False
        for name, scores in said(past, tables, settings, at=cut).items():
            first = scores.top(max(DEPTHS), allowed)
            found.setdefault(name, []).append(
                np.array([np.isin(wanted, first[:depth]).mean() for depth in DEPTHS], np.float32)
            )
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def said(past: History, tables: SourceTables, settings: CandidateSettings, *, at: int) -> dict[str, SparseScores]:
    """Scores of every source that is a table; those of the factors and of people alike over the whole catalogue."""
    readings = settings.readings(past, at=at)
    every: Rows = np.arange(len(tables.popularity.recent), dtype=np.int32)
    alike = np.empty(len(every), np.float32)
    tables.interested.scores_into(alike, readings.lasting, every)
    by_table: dict[str, SparseScores] = {}
    for name, asked in NEIGHBOURS.items():
        interest = getattr(readings, asked.by)
        by_table[name] = tables.neighbours[asked.table].scores(interest.rows, interest.strengths)
    return {
        **by_table,
        "spectral": SparseScores(every, tables.factors.scores(readings.lasting, every)),
        "user_knn": SparseScores(every, alike),
        "repurchase": SparseScores(readings.fading.rows, readings.fading.strengths),
        "popular": SparseScores(every, tables.popularity.recent),
        "trending": SparseScores(every, tables.popularity.trending),
    }


if __name__ == "__main__":
    main()
