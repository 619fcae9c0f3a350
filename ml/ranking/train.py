"""Trains the ranker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ml.contract.errors import DataError
from ml.ranking.examples import RankingExamples
from ml.ranking.settings import RankerSettings
from ml.ranking.worth import GRADES, grades, request_weights
from ml.runtime.enrich import FEATURES
from ml.runtime.rank import Ranker


@dataclass(frozen=True)
class TrainedRanker:
    """The ranker and how it came about."""

    ranker: Ranker
    num_leaves: int
    """Of each tree at most."""
    num_trees: int
    validation_ndcg: float
    """NDCG@10 over the candidates of the newest weeks while they were still unseen."""
    num_requests: int
    num_rows: int

    def save(self, folder: Path) -> None:
        self.ranker.save(folder / "ranker.txt")
        (folder / "facts.json").write_text(json.dumps({name: getattr(self, name) for name in _FACTS}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(Ranker.load(folder / "ranker.txt"), **json.loads((folder / "facts.json").read_text()))

    def summary(self) -> dict[str, int | float | str]:
        """The facts, and what the trees look at most."""
        first = sorted(self.ranker.importances().items(), key=lambda item: -item[1])[:10]
        told = ", ".join(f"{name} {gain:.0%}" for name, gain in first)
        return {**{name: getattr(self, name) for name in _FACTS}, "most_important_features": told}


HELD_BACK = 0.25
"""Share of the weeks, the newest, that decide how large the trees are and how many; at least one week."""
SMOOTHED = 15
"""Trees whose NDCG is averaged before the best number is taken."""

_FACTS = ("num_leaves", "num_trees", "validation_ndcg", "num_requests", "num_rows")


def train_ranker(weeks: Sequence[RankingExamples], *, settings: RankerSettings) -> TrainedRanker:
    """LambdaMART (Burges 2010, MSR-TR-2010-82, section 7) through LightGBM.

    The newest weeks decide how large the trees are and how many; then all weeks are learned with such trees.

    Args:
        weeks: oldest first.

    Raises:
        DataError: the weeks hold no request with a goal among its candidates.
    """
    import lightgbm

    weeks = [week for week in weeks if len(week.group_sizes)]
    if len(weeks) < 2:
        raise DataError(
            f"The ranker needs at least two weeks with goals among the candidates. Received: {len(weeks)}. "
            "Land more days, or lower `split.ranker_weeks`."
        )
    held_back = max(1, round(HELD_BACK * len(weeks)))
    learned, newest = RankingExamples.joined(weeks[:-held_back]), RankingExamples.joined(weeks[-held_back:])
    sizes = sorted({settings.num_leaves, *settings.fewer_leaves})
    tried = {leaves: _tried(learned, newest, settings.model_copy(update={"num_leaves": leaves})) for leaves in sizes}
    leaves, best = max(tried.items(), key=lambda size: size[1].ndcg)  # of equals the smaller trees, which come first
    everything = RankingExamples.joined(weeks)
    chosen = settings.model_copy(update={"num_leaves": leaves})
    booster = lightgbm.train(lightgbm_parameters(chosen), _dataset(everything, chosen), num_boost_round=best.num_trees)
    return TrainedRanker(
        ranker=Ranker(booster.model_to_string()),
        num_leaves=leaves,
        num_trees=best.num_trees,
        validation_ndcg=best.ndcg,
        num_requests=len(everything.group_sizes),
        num_rows=len(everything.outcomes),
    )


def _tried(learned: RankingExamples, newest: RankingExamples, settings: RankerSettings) -> "BestNumber":
    """How many trees of one size are best on the newest weeks, and how good they are there."""
    import lightgbm

    seen: dict[str, dict[str, list[float]]] = {}
    lightgbm.train(
        lightgbm_parameters(settings),
        _dataset(learned, settings),
        num_boost_round=settings.max_trees,
        valid_sets=[_dataset(newest, settings)],
        callbacks=[lightgbm.early_stopping(settings.patience, verbose=False), lightgbm.record_evaluation(seen)],
    )
    return best_number_of_trees(seen["valid_0"]["ndcg@10"])


class BestNumber(NamedTuple):
    num_trees: int
    ndcg: float
    """Mean around that number."""


def best_number_of_trees(ndcg: Sequence[float]) -> BestNumber:
    """Where the mean of `SMOOTHED` neighbouring values is highest: the single highest value of a noisy curve is chance.

    Args:
        ndcg: after the first tree, the second and so on.
    """
    width = min(SMOOTHED, len(ndcg))
    means = np.convolve(ndcg, np.full(width, 1 / width), mode="valid")
    first = int(np.argmax(means))
    return BestNumber(first + (width + 1) // 2, float(means[first]))


def _dataset(examples: RankingExamples, settings: RankerSettings):  # type: ignore[no-untyped-def]  # LightGBM has no types
    import lightgbm

    labels = grades(examples.outcomes, settings)
    weights = request_weights(labels, examples.group_sizes)
    return lightgbm.Dataset(
        examples.features,
        labels,
        group=examples.group_sizes,
        weight=None if (weights == 1).all() else weights,
        feature_name=list(FEATURES),
        free_raw_data=False,
    )


def lightgbm_parameters(settings: RankerSettings) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "label_gain": list(range(GRADES + 1)),
        "num_leaves": settings.num_leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "lambdarank_truncation_level": settings.truncation,
        "seed": settings.seed,
        "deterministic": True,
        "num_threads": settings.num_threads,
        "verbosity": -1,
    }
