import threading
from datetime import UTC, date, datetime

import pytest

from serving.analytics_schemas import FunnelReport, ListPerformance
from serving.feedback.analytics import FunnelStep, Performance, Period
from serving.feedback.log import READERS
from serving.feedback.schema import impressions
from serving.routes import analytics
from tests.serving.conftest import wait_until
from tests.serving.feedback.test_log import rows_of

PERFORMANCE = "/api/v1/analytics/recommendations/performance"
FUNNEL = "/api/v1/analytics/conversion-funnel"
HOMEPAGE = "/api/v1/recommendations/homepage"


def test_from_a_list_over_its_click_to_its_turnover(client, bundles):
    shown = client.get(HOMEPAGE, params={"user_id": "u001", "limit": 4}).json()
    item = shown["recommendations"][1]["product_id"]
    for kind in ("view", "recommendation_click", "cart_add", "purchase"):
        body = {"item_id": item, "event_type": kind, "user_id": "u001", "request_id": shown["request_id"], "price": 2.5, "quantity": 2}  # fmt: skip
        assert client.post("/api/v1/interactions", json=body).json()["accepted"] == 1
    wait_until(lambda: len(rows_of(client.app.state.feedback, impressions)) == 4)
    report = client.get(PERFORMANCE).json()
    today = datetime.now(UTC).date()
    assert (report["last_day"], report["window_days"], report["dropped_lists"]) == (today.isoformat(), 7, 0)
    assert report["rows"] == [
        {
            "day": today.isoformat(), "surface": "homepage", "bundle_version": bundles[0].name, "lists": 1, "impressions": 4,
            "clicks": 1, "cart_adds": 1, "purchases": 1, "ctr": 1 / 4, "conversion": 1 / 4, "revenue": 5.0, "purchases_without_price": 0,
        }
    ]  # fmt: skip
    funnel = client.get(FUNNEL).json()
    assert [(step["step"], step["visitors"], step["pairs"]) for step in funnel["steps"]] == [
        ("view", 1, 1),
        ("cart_add", 1, 1),
        ("purchase", 1, 1),
    ]
    assert funnel["bought_otherwise"] == 0


def test_shares_of_nothing_are_null_and_not_zero():
    period = Period(date(2026, 3, 3), date(2026, 3, 3))
    steps = [FunnelStep("view", 0, 0), FunnelStep("cart_add", 0, 0)]
    assert [(step.of_previous, step.of_first) for step in FunnelReport.of(steps, 0, period).steps] == [(None, None)] * 2
    steps = [FunnelStep("view", 3, 4), FunnelStep("cart_add", 1, 1), FunnelStep("purchase", 0, 0)]
    assert [(step.of_previous, step.of_first) for step in FunnelReport.of(steps, 0, period).steps] == [
        (None, 1.0),
        (1 / 4, 1 / 4),
        (0.0, 0.0),
    ]
    row = Performance(period.first, "homepage", "v1", 1, 8, 2, 1, 1, None, 1)
    assert (ListPerformance.of(row).ctr, ListPerformance.of(row).conversion, ListPerformance.of(row).revenue) == (2 / 8, 1 / 8, None)  # fmt: skip


@pytest.mark.parametrize("url", [PERFORMANCE, FUNNEL])
@pytest.mark.parametrize(
    "query",
    [
        "first_day=2026-03-03&last_day=2026-03-02",
        "first_day=2026-01-01&last_day=2026-06-01",
        "first_day=yesterday",
        "last_day=0001-01-01",
        "last_day=9999-12-31",
        "first_day=0001-01-01",
    ],
)
def test_a_period_that_cannot_be_is_422(client, url, query):
    answer = client.get(f"{url}?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("window", [0, 31, "x"])
def test_a_window_that_cannot_be_is_422(client, window):
    assert client.get(PERFORMANCE, params={"window_days": window}).status_code == 422


def test_a_database_that_hangs_holds_a_few_threads_and_the_others_are_told(client, monkeypatch):
    monkeypatch.setattr(analytics, "SECONDS_TO_ANSWER", 0.05)
    may_end = threading.Event()

    def wait(_connection, *, period):  # noqa: ARG001
        assert may_end.wait(20)
        return [], 0

    monkeypatch.setattr(analytics, "conversion_funnel", wait)
    said = [client.get(FUNNEL) for _ in range(READERS)]
    assert {(answer.status_code, answer.json()["error"]) for answer in said} == {(503, "feedback_unavailable")}
    monkeypatch.setattr(analytics, "SECONDS_TO_ANSWER", 20)
    refused = client.get(FUNNEL)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert f"answers {READERS} at once" in refused.json()["message"]
    may_end.set()
    wait_until(lambda: client.get(FUNNEL).status_code == 200)
