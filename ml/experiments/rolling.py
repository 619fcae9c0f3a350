"""The whole method, trained and judged anew at several cuts: one week can be luck."""

import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ml.candidates.assemble import bundle_at, catalogue_at
from ml.candidates.models import StoredRetriever
from ml.contract.types import Rows
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.offline import Exam, judge_offline
from ml.evaluation.report import EvaluationReport
from ml.experiments.recipe import Recipe
from ml.ranking.fit import fit_ranker
from ml.retrieval.stages import train_stages


def train_and_judge(data: TrainingData, cut_at: datetime, recipe: Recipe) -> EvaluationReport:
    """A report on the week that ends at `cut_at`, by everything learned before it."""
    data = data.as_of(cut_at)
    split = TimeSplit.at(cut_at, recipe.split, since=data.start_at)
    with tempfile.TemporaryDirectory() as folder:
        train_stages(data, split, recipe.retriever).save(Path(folder))
        retriever = StoredRetriever(Path(folder))
        ranker = fit_ranker(
            data, split, base=retriever.base, settings=recipe.ranker, request=recipe.request, sources=recipe.sources
        )
        models = replace(retriever.final, ranker=ranker.ranker)
        bundle = bundle_at(data, cut_at, models=models, settings=recipe.request, source_settings=recipe.sources)
        return judge_offline(bundle, Exam(data, split, recipe.sources, recipe.index))


def judged_users(data: TrainingData, cut_at: datetime, recipe: Recipe) -> Rows:
    """The user each value of `train_and_judge` is of, in its order."""
    data = data.as_of(cut_at)
    exam = Exam(data, TimeSplit.at(cut_at, recipe.split), recipe.sources, recipe.index)
    return exam.goals(catalogue_at(data, exam.starts_at)).user_rows
