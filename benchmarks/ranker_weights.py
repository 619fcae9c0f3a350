"""What the ranker's three weights do to lists: rankers of one shop, one week and the same towers, each learned with other weights.

    python -m benchmarks.ranker_weights .aisle [--users 600] [--weeks 4]

Reads a home where a shop with views and purchases was trained, as `make demo` leaves it. Judged is the test week, which none of them has
seen: NDCG@10 of all that found favour and of what was bought, and the money of the purchases that stood in the first ten places. So that five
rankers take minutes, each learns from the newest weeks alone, fewer requests of them, and by trees of one size: the same for all five.
"""

import argparse
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.candidates.assemble import bundle_at, in_catalogue
from ml.candidates.models import StoredRetriever
from ml.contract.types import Rows
from ml.dataset.goals import Goals, goal_event
from ml.dataset.outcomes import Outcomes, outcomes_between
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.intervals import mean_interval, paired_interval
from ml.evaluation.ranking_metrics import Hits, PerUser, Relevant, ndcg_at_k
from ml.experiments.recipe import Recipe
from ml.ranking.fit import week_of_examples
from ml.ranking.train import train_ranker
from ml.runtime.bundle import Bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest

DEPTH = 10
WEIGHTS = {
    "the default": {},
    "purchases alone": {"click_weight": 0.0},
    "clicks alone": {"click_weight": 1.0, "conversion_weight": 0.0},
    "purchases and money": {"click_weight": 0.0, "revenue_weight": 1.0},
    "money alone": {"click_weight": 0.0, "conversion_weight": 0.0, "revenue_weight": 1.0},
}


@dataclass(frozen=True)
class TestWeek:
    """Whom is asked about, and what they did."""

    user_ids: list[str]
    outcomes: Outcomes
    amounts: NDArray[np.float64]
    """`[num_pairs]` Money of each pair of user and item."""

    @classmethod
    def of(cls, data: TrainingData, bundle: Bundle, split: TimeSplit, *, at_most: int) -> "TestWeek":
        """Of known users who bought."""
        log = in_catalogue(data, bundle.items).between(split.test.start, split.test.end)
        goal = goal_event(data.log)
        buyers = np.unique(log.of_types([goal.code]).user_rows)
        known = bundle.users.vocabulary.rows(data.user_ids.ids)[buyers] >= 0
        asked = buyers[known][: at_most or None]
        log = log.where(np.isin(log.user_rows, asked))
        outcomes = outcomes_between(log, split.test.start, split.test.end, event_type=goal)
        bought = log.of_types([goal.code])
        keys, amounts = _keys(outcomes.goals), np.zeros(len(outcomes.values))
        places = np.searchsorted(keys, bought.user_rows.astype(np.int64) << 32 | bought.item_rows)
        np.add.at(amounts, places, np.nan_to_num(bought.amount))
        return cls([data.user_ids.id(int(row)) for row in outcomes.goals.user_rows], outcomes, amounts)

    def values(self, lists: Rows) -> dict[str, PerUser]:
        """By metric, of lists `[num_users, DEPTH]`."""
        goals = self.outcomes.goals
        liked = Relevant(goals.starts, goals.item_rows)
        bought = liked.where(self.outcomes.values[:, 1] > 0)
        mine = (slice(start, end) for start, end in pairwise(goals.starts.tolist()))
        listed = zip(mine, lists, strict=True)
        earned = [(self.amounts[pairs] * np.isin(goals.item_rows[pairs], shown)).sum() for pairs, shown in listed]
        return {
            "NDCG@10 of all that found favour": ndcg_at_k(Hits.of(lists, liked), k=DEPTH),
            "NDCG@10 of purchases": ndcg_at_k(Hits.of(lists, bought), k=DEPTH),
            "money of a user in the first ten": np.array(earned),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--users", type=int, default=600, help="buyers of the test week that are asked about; 0: all")
    parser.add_argument("--weeks", type=int, default=4, help="the newest, that are learned from")
    arguments = parser.parse_args()
    made, recipe = arguments.home / "artifacts" / "ml", Recipe()
    settings = recipe.ranker.model_copy(update={"max_users_per_week": 500, "rows_per_week": 30_000, "fewer_leaves": ()})
    data, retriever = TrainingData.load(made / "training_examples"), StoredRetriever.load(made / "retriever")
    split = TimeSplit.at(data.cut_at, recipe.split, since=data.start_at)
    now = datetime.fromtimestamp(split.test.start, UTC)
    plain = bundle_at(data, now, models=retriever.final, settings=recipe.request, source_settings=recipe.sources)
    week = TestWeek.of(data, plain, split, at_most=arguments.users)
    default: dict[str, PerUser] = {}
    examples = [
        week_of_examples(
            data, cut, base=retriever.base, settings=settings, request=recipe.request, sources=recipe.sources
        )
        for cut in split.ranker_cuts[-arguments.weeks :]
    ]
    for name, weights in WEIGHTS.items():
        trained = train_ranker(examples, settings=settings.model_copy(update=weights))
        values = week.values(lists_of(replace(plain, ranker=trained.ranker), week.user_ids, now=now))
        default = default or values
        if values is default:
            print("| weights | " + " | ".join(values) + " |\n|---|" + "---|" * len(values), flush=True)
        print(f"| {name} | " + " | ".join(cell(values[m], default[m]) for m in values) + " |", flush=True)


def lists_of(bundle: Bundle, user_ids: list[str], *, now: datetime) -> Rows:
    """`[num_users, DEPTH]`"""
    lists = np.full((len(user_ids), DEPTH), -1, np.int32)
    for position, user_id in enumerate(user_ids):
        items = recommend(bundle, HomeRequest(user_id=user_id, limit=DEPTH), now=now).items
        lists[position, : len(items)] = [item.item_row for item in items]
    return lists


def cell(values: PerUser, default: PerUser) -> str:
    mean = mean_interval(values).mean
    if values is default:
        return f"{mean:.4f}"
    ratio = paired_interval(values, default).ratio
    return f"{mean:.4f}, {ratio.mean:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] of the default"


def _keys(goals: Goals) -> NDArray[np.int64]:
    """Ascending, one of each pair."""
    return np.repeat(goals.user_rows.astype(np.int64), np.diff(goals.starts)) << 32 | goals.item_rows


if __name__ == "__main__":
    main()
