"""The ranker of one training run: past weeks rebuilt with the base towers, then learned."""

from datetime import UTC, datetime

from ml.candidates.assemble import bundle_at, in_catalogue
from ml.candidates.models import Models
from ml.candidates.settings import SourceSettings
from ml.dataset.goals import goal_event
from ml.dataset.outcomes import outcomes_between
from ml.dataset.split import WEEK, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.ranking.examples import RankingExamples, ranking_examples
from ml.ranking.settings import RankerSettings
from ml.ranking.train import TrainedRanker, train_ranker
from ml.runtime.settings import RequestSettings


def fit_ranker(
    data: TrainingData,
    split: TimeSplit,
    *,
    base: Models,
    settings: RankerSettings,
    request: RequestSettings,
    sources: SourceSettings,
) -> TrainedRanker:
    """A ranker learned on the weeks that start at `split.ranker_cuts`, all of them later than what `base` saw."""
    weeks = [
        week_of_examples(data, cut, base=base, settings=settings, request=request, sources=sources)
        for cut in split.ranker_cuts
    ]
    return train_ranker(weeks, settings=settings)


def week_of_examples(
    data: TrainingData,
    cut: int,
    *,
    base: Models,
    settings: RankerSettings,
    request: RequestSettings,
    sources: SourceSettings,
) -> RankingExamples:
    """What the request path would have seen at `cut`, and what the week after it held."""
    bundle = bundle_at(data, datetime.fromtimestamp(cut, UTC), models=base, settings=request, source_settings=sources)
    log = in_catalogue(data, bundle.items)
    outcomes = outcomes_between(log, cut, cut + WEEK, event_type=goal_event(data.log))
    return ranking_examples(bundle, outcomes, user_ids=data.user_ids, cut=cut, settings=settings)
