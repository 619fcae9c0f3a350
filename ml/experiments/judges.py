"""What a recipe is worth on the validation weeks: the days just before the test week, which no search ever sees."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Self

import numpy as np

from ml.candidates.assemble import catalogue_at, in_catalogue, users_at
from ml.contract.errors import DataError
from ml.contract.types import Rows
from ml.dataset.goals import goal_event, goals_between
from ml.dataset.split import SplitSettings, TimeSplit
from ml.dataset.training_data import TrainingData, weekly_cuts
from ml.evaluation.lists import best_of_dense, row_blocks
from ml.evaluation.ranking_metrics import Hits, PerUser, Relevant
from ml.evaluation.report import EvaluationSettings
from ml.evaluation.scoring import measured
from ml.experiments.recipe import Recipe
from ml.experiments.rolling import train_and_judge
from ml.experiments.space import Judge, SearchSpace
from ml.retrieval.stages import examples_of
from ml.retrieval.train import train_retriever
from ml.retrieval.trained import TrainedRetriever
from ml.runtime.items import ItemTable
from ml.runtime.users import UserTable

STEPS_OF_WEEK = 1_000
"""A step's number is 1,000 x week + epoch, so that trials of any number of epochs meet at the same steps. No recipe has more."""

Tell = Callable[[int, float], None]
"""Hears the mean so far after each step; whoever has heard enough raises."""
Judged = Callable[[TrainingData, Recipe, SearchSpace, Tell], float]


def judge_lists(data: TrainingData, recipe: Recipe, space: SearchSpace, tell: Tell) -> float:
    """Mean of the metric over users and weeks; the whole method is trained anew before each week, newest first."""
    cuts = validation_cuts(data, recipe.split, weeks=space.weeks)
    recipe = within_reach(data, recipe, oldest=cuts[-1])
    values: list[PerUser] = []
    for week, cut in enumerate(cuts):
        values.append(train_and_judge(data, cut, recipe).per_user.of(space.metric))
        tell(week, _mean(values))
    return _mean(values)


def judge_towers(data: TrainingData, recipe: Recipe, space: SearchSpace, tell: Tell) -> float:
    """Mean of the metric over known users and weeks, of lists by nothing but the towers, after each epoch.

    The towers are those of one stage, learned on all days before the week.
    """
    before: list[PerUser] = []
    for week, cut in enumerate(validation_cuts(data, recipe.split, weeks=space.weeks)):
        split = TimeSplit.at(cut + timedelta(days=recipe.split.test_days), recipe.split)
        known = data.as_of(cut)
        listener = _Listener(TowerExam.of(known, split), space.metric, week, before, tell)
        with tempfile.TemporaryDirectory() as scratch:
            settings = recipe.retriever.for_catalogue(known.items.num_rows)
            examples = examples_of(known, split.train, settings, scratch=Path(scratch))
            train_retriever(examples, settings, on_retriever=listener.hear)
        before.append(listener.newest)
    return _mean(before)


JUDGES: dict[Judge, Judged] = {"lists": judge_lists, "towers": judge_towers}


def validation_cuts(data: TrainingData, split: SplitSettings, *, weeks: int) -> tuple[datetime, ...]:
    """Ends of the validation weeks, newest first: the first is where the test week begins."""
    return weekly_cuts(data.cut_at - timedelta(days=split.test_days), weeks=weeks - 1)


def within_reach(data: TrainingData, recipe: Recipe, *, oldest: datetime) -> Recipe:
    """The recipe with as many weeks for the ranker as features reach back before the week that ends at `oldest`, at most its own.

    Raises:
        DataError: they do not reach back a single one.
    """
    held, split = set(data.item_features["cut_at"].to_pylist()), recipe.split
    before = weekly_cuts(oldest - timedelta(days=split.test_days), weeks=split.ranker_weeks)[1:]
    reached = list(takewhile(lambda cut: cut.replace(tzinfo=None) in held, before))
    if not reached:
        raise DataError(
            f"A ranker to be judged on the week before {oldest:%Y-%m-%d} needs features at {before[0]:%Y-%m-%d}. "
            f"Received: cuts from {min(held, default=None)} on. Lower `weeks`, or raise `split.ranker_weeks` in the recipe "
            "and run again: the snapshot then reaches further back."
        )
    return recipe.having({"split.ranker_weeks": len(reached)})


@dataclass
class _Listener:
    """Judges the towers of one week after each epoch."""

    exam: "TowerExam"
    metric: str
    week: int
    before: list[PerUser]
    """What the weeks before it came to."""
    tell: Tell
    epoch: int = 0
    newest: PerUser = field(default_factory=lambda: np.empty(0))

    def hear(self, retriever: TrainedRetriever) -> None:
        self.newest = self.exam.measured(retriever, self.metric)
        self.tell(STEPS_OF_WEEK * self.week + self.epoch, _mean([*self.before, self.newest]))
        self.epoch += 1


@dataclass(frozen=True)
class TowerExam:
    """What towers are asked: the lists of known users at the start of a week, over the whole catalogue by exact search."""

    items: ItemTable
    users: UserTable
    user_rows: Rows
    """Of `users`, who reached a goal in the week `[n]`."""
    relevant: Relevant
    at: int

    @classmethod
    def of(cls, data: TrainingData, split: TimeSplit) -> Self:
        """Of the validation week of a split; features are those of its first morning."""
        start, end = split.validation.start, split.validation.end
        morning = datetime.fromtimestamp(start, UTC)
        items = catalogue_at(data, morning)
        log = in_catalogue(data, items)
        users = users_at(data, morning, log.before(start))
        goals = goals_between(log, start, end, event_type=goal_event(data.log)).at_most(EvaluationSettings().max_users)
        rows = users.vocabulary.rows(data.user_ids.ids)[goals.user_rows]
        # Strangers all get one list: it says nothing of the towers.
        known = Relevant.of_lists([goals.of(i) for i in np.flatnonzero(rows >= 0).tolist()])
        return cls(items, users, rows[rows >= 0], known, start)

    def measured(self, retriever: TrainedRetriever, metric: str) -> PerUser:
        """The metric of each user's list `[n]`."""
        depth = int(metric.partition("@")[2])
        return measured(Hits.of(self.lists(retriever, depth=depth), self.relevant), metric)

    def lists(self, retriever: TrainedRetriever, *, depth: int) -> Rows:
        """Nearest items of each user, of those for sale `[n, depth]`."""
        encoder, items = retriever.encoder, self.items.table
        inputs = encoder.queries(
            encoder.user_ids(self.users.table),
            self.users.histories,
            self.user_rows,
            np.full(len(self.user_rows), self.at, np.int64),
            item_indexes=encoder.item_indexes(items["item_id"]),
        )
        queries, vectors = retriever.query_vectors(inputs), retriever.item_vectors(items)
        found = np.full((len(queries), depth), -1, np.int32)
        for block in row_blocks(len(queries)):
            found[block] = best_of_dense(np.where(self.items.available, queries[block] @ vectors.T, -np.inf), k=depth)
        return found


def _mean(values: list[PerUser]) -> float:
    """Over all users and weeks.

    Raises:
        DataError: nobody was judged.
    """
    together = np.concatenate(values)
    if not np.isfinite(together).any():
        raise DataError("A validation week needs users who bought something. Received: nobody. Choose more `weeks`.")
    return float(np.nanmean(together))
