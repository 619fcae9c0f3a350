from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from ml.contract.errors import DataError
from ml.drift.features import WATCHED, whole_weeks, window_frame
from ml.drift.psi import DriftReference
from ml.drift.report import SIGNIFICANT, drift_report
from tests.ml.drift.shop_weeks import MONDAY, interactions, items

END_OF_TRAINING = MONDAY + timedelta(days=28)
NEXT_WEEK = END_OF_TRAINING + timedelta(days=7)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    frame = window_frame(interactions(days=28), items(), ends_at=END_OF_TRAINING)
    return DriftReference.fit(frame, window_start=MONDAY, window_end=END_OF_TRAINING)


def week(*, taste: int = 0, price_factor: float = 1.0) -> pd.DataFrame:
    events = interactions(days=7, start=END_OF_TRAINING, seed=2, taste=taste, price_factor=price_factor)
    return window_frame(events, items(price_factor=price_factor), ends_at=NEXT_WEEK)


def test_an_undrifted_week_stays_quiet(reference: DriftReference) -> None:
    report = drift_report(reference, week())
    assert set(report.psi) == set(WATCHED)
    assert report.largest < 0.1
    assert report.drifted == []


def test_raised_prices_trip_the_alarm_and_name_the_feature(reference: DriftReference) -> None:
    report = drift_report(reference, week(price_factor=1.8))
    assert report.psi["price"] > SIGNIFICANT
    assert report.drifted == ["price"]


def test_other_categories_selling_trips_the_alarm(reference: DriftReference) -> None:
    assert "category" in drift_report(reference, week(taste=1)).drifted


def test_a_weekend_alone_would_look_like_drift(reference: DriftReference) -> None:
    """Why windows are whole weeks: two days of the same shop are another mix of everything."""
    saturday = END_OF_TRAINING + timedelta(days=5)
    weekend = window_frame(interactions(days=2, start=saturday, seed=2), items(), ends_at=NEXT_WEEK)
    assert drift_report(reference, weekend).largest > drift_report(reference, week()).largest


@pytest.mark.parametrize(("days_of_data", "weeks"), [(7, 1), (20, 2), (28, 4), (90, 4)])
def test_the_reference_is_the_longest_run_of_whole_weeks(days_of_data: int, weeks: int) -> None:
    end = datetime(2026, 9, 29)
    start = whole_weeks(end - timedelta(days=days_of_data), end, at_most=4)
    assert end - start == timedelta(days=7 * weeks)


def test_less_than_a_week_is_an_error() -> None:
    with pytest.raises(DataError, match="whole weeks"):
        whole_weeks(MONDAY, MONDAY + timedelta(days=6), at_most=4)


def test_counting_features_count_inside_the_week_of_the_event() -> None:
    events = pa.table(
        {
            "user_id": ["a", "a", "b", "a"],
            "item_id": ["x", "x", "y", "x"],
            "event_type": ["view"] * 4,
            "occurred_at": pa.array([MONDAY + timedelta(days=day) for day in (0, 6, 6, 7)], pa.timestamp("us")),
            "quantity": [1.0] * 4,
            "price": [None, 3.0, None, None],
        }
    )
    catalogue = pa.table({"item_id": ["x"], "category": ["shoes"], "price": [2.0]})
    frame = window_frame(events, catalogue, ends_at=MONDAY + timedelta(days=14))
    assert frame["place_in_week_of_user"].tolist() == [1, 2, 1, 1]
    assert frame["item_rank_in_week"].tolist() == [1 / 2, 1 / 2, 2 / 2, 1 / 1]
    assert frame["price"].tolist()[:2] == [2.0, 3.0]
    assert frame[["price", "category"]].isna().to_numpy().tolist() == [
        [False, False],
        [False, False],
        [True, True],
        [False, False],
    ]
