"""The judge on a world whose right answers are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ml.candidates.assemble import in_catalogue
from ml.candidates.settings import SourceSettings
from ml.dataset.split import SplitSettings, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.head_metrics import of_numbers
from ml.evaluation.offline import Exam, judge_offline, lists_that_look_ahead
from ml.evaluation.report import EvaluationSettings, Summary
from ml.index.planner import IndexSettings
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from tests import world


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return world.training_data()


@pytest.fixture(scope="module")
def exam(data) -> Exam:
    split = TimeSplit.at(world.CUT, SplitSettings(ranker_weeks=world.WEEKS))
    return Exam(data, split, SourceSettings(), IndexSettings())


@pytest.fixture(scope="module")
def summary(bundle, exam):
    return judge_offline(bundle, exam).summary


def test_personal_lists_are_surely_better_than_the_popular_one(summary):
    assert summary.comparison("ndcg@10", baseline="popular_7d").verdict == "better"


def test_candidates_hold_nearly_everything_people_buy(summary):
    found = {each.source: each.recall for each in summary.candidates}
    assert found["any"] == pytest.approx(1.0)
    assert found["repurchase"] < found["any"]


def test_the_ranker_is_surely_better_than_the_blend_it_would_fall_back_to(summary):
    assert "blend" in summary.systems
    assert "blend" not in summary.baselines, "a shop without Aisle has no such candidates"
    assert summary.comparison("ndcg@10", baseline="blend").verdict == "better"


def test_the_more_is_known_of_a_visitor_the_better_the_list(summary):
    found = {part.num_events: part for part in summary.acquaintances}
    assert list(found) == [0, 1, 3, 5, None]
    assert found[5].ndcg.low > found[0].ndcg.high
    assert found[None].ndcg.mean > found[1].ndcg.mean
    assert len({part.ndcg.num_users for part in found.values()}) == 1
    assert found[None].ndcg.num_users <= 200


def test_the_curve_begins_with_the_lists_that_were_judged_and_grows_varied(summary):
    curve = [part for part in summary.variations if part.kind == "diversity"]
    assert curve[0].is_own
    assert curve[0].ndcg.mean == pytest.approx(summary.value("ndcg@10").mean)  # all 60 users are in the sample
    assert curve[0].novelty == pytest.approx(summary.value("novelty@10").mean)
    assert curve[-1].diversity > curve[0].diversity + 0.1
    assert curve[-1].ndcg.mean < curve[0].ndcg.mean


def test_a_boost_of_the_overlooked_gives_the_tail_more_of_the_exposure(summary):
    found = {part.name: part for part in summary.variations if part.kind == "boosts"}
    assert found["overlooked ones by 0.5"].tail_share > found["no boosts"].tail_share + 0.02
    assert found["no boosts"].is_own


def test_users_are_sampled_where_there_are_many(bundle, exam):
    few = replace(exam, settings=EvaluationSettings(sampled_users=10))
    summary = judge_offline(bundle, few).summary
    assert {part.ndcg.num_users for part in summary.variations} == {10}
    assert {part.ndcg.num_users for part in summary.acquaintances} == {10}


def test_a_bundle_is_as_good_as_itself(bundle, exam):
    report = judge_offline(bundle, exam, rivals={"champion": bundle})
    np.testing.assert_array_equal(report.per_user.of("ndcg@10"), report.per_user.of("ndcg@10", system="champion"))
    assert report.summary.champion_version == bundle.version, "publishing asks for the champion that was judged"


def test_the_judged_twin_knows_nothing_of_the_window(bundle, exam, data):
    """The future is rewritten; the lists given before it must not change."""
    past_only = replace(data, events=data.events.known_before(exam.starts_at))
    informed, ignorant = (replace(exam, data=each).twin_of(bundle) for each in (data, past_only))
    for user in range(0, world.NUM_USERS, 7):
        request = HomeRequest(user_id=world.user_id(user), limit=20)
        assert recommend(informed, request, now=exam.starts_at) == recommend(ignorant, request, now=exam.starts_at)


def test_no_judged_list_looks_ahead(bundle, exam):
    looked = lists_that_look_ahead(bundle, exam, at_most=12)
    assert len(looked) == 12
    assert not looked.any()


def test_tables_made_of_a_log_that_holds_the_week_are_flagged(bundle, exam, monkeypatch):
    monkeypatch.setattr("ml.candidates.assemble.log_at", lambda data, _cut_at, items: in_catalogue(data, items))
    assert lists_that_look_ahead(bundle, exam, at_most=12).any()


def test_the_rating_head_is_judged_on_validation_days_and_on_test_days():
    heads = (of_numbers("value", split, np.array([2.0, 4.0]), np.array([1.0, 4.0])) for split in ("validation", "test"))
    summary = SimpleNamespace(heads=tuple(heads))
    expected = {"rmse": 0.5**0.5, "mae": 0.5}
    assert Summary.head_metrics(summary) == {
        f"value.{split}.{name}": value for split in ("validation", "test") for name, value in expected.items()
    }
