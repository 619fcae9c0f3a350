"""Cut by time first: windows follow each other, and nothing looks ahead."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ml.contract.errors import ContractError, LeakageError
from ml.dataset.split import FEWEST_WEEKS, SplitSettings, TimeSplit, Window, refuse_lookahead

CUT = datetime(2026, 7, 1, tzinfo=UTC)


def days_before_cut(instant: int) -> float:
    return (CUT - datetime.fromtimestamp(instant, UTC)) / timedelta(days=1)


def test_the_default_windows_are_those_of_the_plan():
    split = TimeSplit.at(CUT)

    reach = {
        name: [days_before_cut(at) for at in (w.start, w.end)]
        for name, w in vars(split).items()
        if isinstance(w, Window)
    }
    assert reach == {"train": [112, 14], "validation": [14, 7], "test": [7, 0]}


def test_windows_follow_each_other_without_gap_or_overlap():
    split = TimeSplit.at(CUT, SplitSettings(train_days=40, validation_days=3, test_days=5, ranker_weeks=2))

    assert split.train.end == split.validation.start
    assert split.validation.end == split.test.start
    assert split.test.end == split.cut


def test_the_last_week_of_the_ranker_ends_where_the_test_window_starts():
    split = TimeSplit.at(CUT)

    assert [days_before_cut(at) for at in split.ranker_cuts] == [63, 56, 49, 42, 35, 28, 21, 14]


def test_the_base_window_ends_where_the_ranker_begins():
    split = TimeSplit.at(CUT)

    assert (split.base.start, split.base.end) == (split.train.start, split.ranker_cuts[0])


def test_the_base_window_never_reaches_past_what_the_towers_may_see():
    split = TimeSplit.at(CUT, SplitSettings(ranker_weeks=1, validation_days=14))

    assert split.base.end == split.train.end


def test_an_instant_and_its_seconds_make_the_same_split():
    assert TimeSplit.at(CUT) == TimeSplit.at(int(CUT.timestamp()))


def test_a_cut_without_a_time_zone_is_refused():
    with pytest.raises(ContractError, match="needs a time zone"):
        TimeSplit.at(CUT.replace(tzinfo=None))


def test_a_split_that_leaves_nothing_to_learn_on_is_refused():
    with pytest.raises(ContractError, match="Raise `train_days`"):
        TimeSplit.at(CUT, SplitSettings(train_days=14))


def test_ranker_weeks_that_leave_the_base_nothing_are_refused():
    with pytest.raises(ContractError, match="Raise `train_days`"):
        _ = TimeSplit.at(CUT, SplitSettings(train_days=30, ranker_weeks=5)).base


@pytest.mark.parametrize(
    ("days_of_events", "weeks"), [(400, 8), (7 + 112, 8), (7 + 111, 7), (35, 2), (10, FEWEST_WEEKS)]
)
def test_of_a_short_log_the_ranker_leaves_the_base_at_least_as_many_days(days_of_events, weeks):
    split = TimeSplit.at(CUT, since=CUT - timedelta(days=days_of_events))

    assert len(split.ranker_cuts) == weeks
    assert days_before_cut(split.base.end) == 7 + 7 * weeks


def test_a_window_holds_its_start_and_not_its_end():
    assert Window(10, 20).holds(np.array([9, 10, 19, 20])).tolist() == [False, True, True, False]


def test_an_instant_at_the_end_of_its_window_is_leakage():
    refuse_lookahead(np.array([18, 19]), before=20, what="An event")
    with pytest.raises(LeakageError, match="Received: 1 at or after it"):
        refuse_lookahead(np.array([19, 20]), before=20, what="An event")
