"""What the service wrote down comes back as raw rows, whole, by the day it arrived."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS
from ml.contract.events import EventType
from ml.simulator import ShopSettings
from orchestration.resources.warehouse import Warehouse
from orchestration.sources import feedback
from orchestration.sources.demo import DemoSource
from orchestration.sources.feedback import FeedbackRows, WithFeedback
from orchestration.sources.landing import LandedTables
from orchestration.sources.resource import SourceResource
from serving.feedback import FeedbackLog
from tests.serving.feedback.rows import DAY, NOW, NOW_US, event, shown

TODAY = NOW.date()
PSEUDONYM = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def rows(tmp_path: Path) -> FeedbackRows:
    log = FeedbackLog.open(None, default=tmp_path / "feedback.db")
    bought = {"event_type": EventType.PURCHASE, "quantity": 2.0, "price": 3.5, "order_id": "o1", "request_id": "r1"}
    log.add(
        [
            event("e1", user_id=PSEUDONYM, at_us=NOW_US - DAY, received_at_us=NOW_US, **bought),
            event("e2", user_id=None, session_id="s", at_us=NOW_US),
            event("e3", at_us=NOW_US + DAY),
        ]
    ).result(10)
    log.shown(shown("r1", "i001", "i002", user_id=PSEUDONYM))
    log.close()
    return FeedbackRows(f"sqlite:///{tmp_path / 'feedback.db'}")


def test_events_are_raw_interactions_of_the_day_they_were_received(rows: FeedbackRows) -> None:
    table = pa.concat_tables(rows.interactions(TODAY, TODAY))
    assert table.schema == RAW_INTERACTIONS
    first, second = table.to_pylist()
    assert first == {
        "user_id": f"pseudonym:{PSEUDONYM}", "item_id": "i001", "event_type": "purchase", "occurred_at": datetime(2026, 3, 2, 12),
        "event_id": "e1", "quantity": 2.0, "price": 3.5, "order_id": "o1", "session_id": None, "request_id": "r1",
        "received_at": NOW.replace(tzinfo=None), "excluded_because": None, "source_row": 1, "landed_on": date(2026, 3, 3),
    }  # fmt: skip
    assert (second["user_id"], second["session_id"], second["excluded_because"]) == (None, "s", "anonymous")


def test_places_are_raw_impressions(rows: FeedbackRows) -> None:
    table = pa.concat_tables(rows.impressions(TODAY, TODAY))
    assert table.schema == RAW_IMPRESSIONS
    assert [(row["item_id"], row["position"], row["landed_on"]) for row in table.to_pylist()] == [
        ("i001", 1, TODAY),
        ("i002", 2, TODAY),
    ]
    assert set(table["user_id"].to_pylist()) == {f"pseudonym:{PSEUDONYM}"}


def test_every_row_comes_once_however_the_days_and_pieces_are_cut(
    rows: FeedbackRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "ROWS", 1)
    tomorrow = datetime(2026, 3, 4, tzinfo=UTC).date()
    by_day = [table for day in (TODAY, tomorrow) for table in rows.interactions(day, day)]
    assert [len(table) for table in by_day] == [1, 1, 1]
    assert pa.concat_tables(by_day) == pa.concat_tables(rows.interactions(TODAY, tomorrow))
    assert list(rows.interactions(date(2026, 1, 1), date(2026, 2, 1))) == []


def test_what_the_service_wrote_down_lands_beside_the_shops_own_rows(rows: FeedbackRows, warehouse: Warehouse) -> None:
    shop = DemoSource(ShopSettings(size="tiny", opened_on=date(2026, 3, 1)), until=TODAY)
    own = sum(len(table) for table in shop.interactions(TODAY, TODAY))
    tables = LandedTables(WithFeedback(shop, rows), warehouse)
    for _ in range(2):  # landing again changes nothing
        landed = tables.interactions(TODAY, TODAY)
    tables.impressions(TODAY, TODAY)
    assert landed.rows == own + 2
    assert landed.source.endswith("and the service's log")
    found = warehouse.query("select event_id from raw.interactions where user_id like ?", ["pseudonym:%"])
    assert found["event_id"].to_pylist() == ["e1"]
    places = warehouse.query("select count(*) as places from raw.impressions where request_id = ?", ["r1"])
    assert places["places"].to_pylist() == [2]


def test_a_log_that_no_service_has_begun_adds_nothing(tmp_path: Path, warehouse: Warehouse) -> None:
    resource = SourceResource(
        name="demo", shop_size="tiny", opened_on="2026-03-01", feedback=f"sqlite:///{tmp_path / 'none.db'}"
    )
    tables = resource.tables(warehouse, until=TODAY)
    assert isinstance(tables, LandedTables)
    assert isinstance(tables.source, DemoSource)
    assert list(tmp_path.glob("none.db*")) == []
