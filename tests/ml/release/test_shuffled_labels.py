"""A ranker that learned nothing must not pass the gate, whatever it is called."""

from dataclasses import replace

import numpy as np
import pytest

from ml.candidates.settings import SourceSettings
from ml.dataset.split import SplitSettings, TimeSplit
from ml.evaluation.offline import Exam, judge_offline
from ml.index.planner import IndexSettings
from ml.ranking.examples import RankingExamples
from ml.ranking.fit import week_of_examples
from ml.ranking.train import train_ranker
from ml.release.gate import CHAMPION, judge_report
from ml.runtime.settings import RequestSettings
from tests import world


@pytest.fixture(scope="module")
def weeks(tmp_path_factory) -> list[RankingExamples]:
    data = world.training_data()
    base = world.models(data, tmp_path_factory.mktemp("towers"))
    split = TimeSplit.at(world.CUT, SplitSettings(ranker_weeks=world.WEEKS))
    return [
        week_of_examples(
            data, cut, base=base, settings=world.RANKER, request=RequestSettings(), sources=SourceSettings()
        )
        for cut in split.ranker_cuts
    ]


def shuffled(week: RankingExamples, rng: np.random.Generator) -> RankingExamples:
    return replace(week, outcomes=rng.permutation(week.outcomes))


def test_retrained_on_shuffled_labels_promotion_is_refused(bundle, weeks):
    rng = np.random.default_rng(0)
    learned_nothing = train_ranker([shuffled(week, rng) for week in weeks], settings=world.RANKER).ranker
    exam = Exam(
        world.training_data(),
        TimeSplit.at(world.CUT, SplitSettings(ranker_weeks=world.WEEKS)),
        SourceSettings(),
        IndexSettings(),
    )
    verdict = judge_report(judge_offline(replace(bundle, ranker=learned_nothing), exam, rivals={CHAMPION: bundle}))
    assert not verdict.promote
    assert any("not surely above champion" in reason for reason in verdict.reasons)


def test_the_same_bundle_with_its_real_labels_passes_against_popularity(bundle):
    exam = Exam(
        world.training_data(),
        TimeSplit.at(world.CUT, SplitSettings(ranker_weeks=world.WEEKS)),
        SourceSettings(),
        IndexSettings(),
    )
    assert judge_report(judge_offline(bundle, exam)).promote
