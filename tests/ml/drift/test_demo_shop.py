"""The alarm on a shop whose truth is known: it drifts on the day it is told to, or never."""

from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.drift import WEEK, DriftReport, DriftSnapshot, drift_report, window_frame
from ml.drift.snapshot import between
from ml.simulator import Shop, ShopSettings

OPENED = date(2026, 3, 1)
CUT = datetime(2026, 6, 1)


def last_week_after(weeks: int, *, drift_from: date | None) -> DriftReport:
    """The last of some weeks after the cut, against the four before it."""
    shop = Shop.open(ShopSettings(size="tiny", seed=7, opened_on=OPENED, drift_from=drift_from))
    end = CUT + weeks * WEEK
    raw = pa.concat_tables([day.interactions for day in shop.days(OPENED, end.date())])
    known = pc.and_(pc.and_(pc.is_valid(raw["user_id"]), pc.is_valid(raw["item_id"])), pc.is_valid(raw["occurred_at"]))
    events, items = raw.filter(known), shop.items(end.date())
    start = datetime.combine(OPENED, datetime.min.time())
    snapshot = DriftSnapshot.of(events, items, data_start_at=start, cut_at=CUT)
    return drift_report(snapshot.reference, window_frame(between(events, end - WEEK, end), items, ends_at=end))


@pytest.mark.parametrize("weeks", [1, 4])
def test_weeks_of_the_same_shop_stay_far_below_the_alarm(weeks: int) -> None:
    assert last_week_after(weeks, drift_from=None).largest < 0.1


def test_the_planted_drift_is_seen_in_its_first_week_where_it_was_planted() -> None:
    report = last_week_after(1, drift_from=CUT.date())
    assert report.drifted[:2] == ["price", "category"]


def test_a_drift_that_lies_ahead_is_not_seen_yet() -> None:
    assert last_week_after(1, drift_from=CUT.date() + timedelta(days=7)).drifted == []
