"""Trains the ranker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ml.contract.errors import DataError
from ml.ranking.examples import RankingExamples
from ml.ranking.settings import RankerSettings
from ml.runtime.enrich import FEATURES
from ml.runtime.rank import Ranker


@dataclass(frozen=True)
class TrainedRanker:
    """The ranker and how it came about."""

    ranker: Ranker
    num_trees: int
    validation_ndcg: float
    """NDCG@10 over the newest week's candidates while it was still unseen."""
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


_FACTS = ("num_trees", "validation_ndcg", "num_requests", "num_rows")


def train_ranker(weeks: Sequence[RankingExamples], *, settings: RankerSettings) -> TrainedRanker:
    """LambdaMART (Burges 2010, MSR-TR-2010-82, section 7) through LightGBM.

    The newest week decides how many trees; then all weeks are learned with that many.

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
    learned, newest = RankingExamples.joined(weeks[:-1]), weeks[-1]
    stopped = lightgbm.train(
        lightgbm_parameters(settings),
        _dataset(learned),
        num_boost_round=settings.max_trees,
        valid_sets=[_dataset(newest)],
        callbacks=[lightgbm.early_stopping(settings.patience, verbose=False)],
    )
    everything = RankingExamples.joined(weeks)
    booster = lightgbm.train(
        lightgbm_parameters(settings), _dataset(everything), num_boost_round=stopped.best_iteration
    )
    return TrainedRanker(
        ranker=Ranker(booster.model_to_string()),
        num_trees=stopped.best_iteration,
        validation_ndcg=float(stopped.best_score["valid_0"]["ndcg@10"]),
        num_requests=len(everything.group_sizes),
        num_rows=len(everything.labels),
    )


def _dataset(examples: RankingExamples):  # type: ignore[no-untyped-def]  # LightGBM has no types
    import lightgbm

    return lightgbm.Dataset(
        examples.features, examples.labels, group=examples.group_sizes, feature_name=list(FEATURES), free_raw_data=False
    )


def lightgbm_parameters(settings: RankerSettings) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
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
