"""Five rolling test weeks of Online Retail: the whole method trained anew before each, beside the simple baselines.

Reads the training snapshot of a run of the graph over that file, with feature cuts for all those weeks: `make bench` makes both.
"""

import sys
import time
from pathlib import Path

import numpy as np

from ml.dataset.training_data import TrainingData, weekly_cuts
from ml.evaluation.intervals import mean_interval, paired_interval
from ml.evaluation.report import OURS, EvaluationReport
from ml.experiments.recipe import Recipe
from ml.experiments.rolling import train_and_judge

WEEKS = 5
METRICS = ("ndcg@10", "recall@100")
KNOWN = ("light_users", "heavy_users")


def main(home: Path) -> None:
    data = TrainingData.load(home / "artifacts" / "ml" / "training_examples")
    reports = []
    for cut in weekly_cuts(data.cut_at, weeks=WEEKS - 1):
        started = time.perf_counter()
        reports.append(train_and_judge(data, cut, Recipe()))
        told = ", ".join(f"{metric} {np.nanmean(known(reports[-1], metric)):.4f}" for metric in METRICS)
        print(f"week before {cut:%Y-%m-%d}: {told} ({time.perf_counter() - started:.0f} s)", flush=True)
    print(f"\n{'known users, all weeks':<24}" + "".join(f"{metric:>28}{'aisle / this':>24}" for metric in METRICS))
    for system in reports[0].summary.systems:
        print(f"{system:<24}" + "".join(line(reports, system, metric) for metric in METRICS))


def line(reports: list[EvaluationReport], system: str, metric: str) -> str:
    ours, theirs = (np.concatenate([known(each, metric, name) for each in reports]) for name in (OURS, system))
    mean, ratio = mean_interval(theirs), paired_interval(ours, theirs).ratio
    return f"{mean.mean:>12.4f} [{mean.low:.4f}, {mean.high:.4f}]{ratio.mean:>9.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def known(report: EvaluationReport, metric: str, system: str = OURS) -> np.ndarray:
    """Values of the users with a history before the week; a stranger can only be shown what is popular."""
    values = np.stack([report.per_user.of(metric, system=system, slice_name=name) for name in KNOWN])
    judged = np.isfinite(values).any(axis=0)
    return np.nanmax(values[:, judged], axis=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
