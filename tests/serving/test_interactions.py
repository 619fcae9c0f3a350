from datetime import UTC, datetime, timedelta

import pytest

from ml.contract.events import EventType
from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from serving.app import create_app
from serving.caller import session_pseudonym
from serving.settings import ServiceSettings
from tests import world
from tests.serving.conftest import TestClient

INTERACTIONS = "/api/v1/interactions"
HOMEPAGE = "/api/v1/recommendations/homepage"
VIEW = {"item_id": "i001", "event_type": "view", "user_id": "u001"}


def logged(client):
    return [event for page in client.app.state.feedback.events_known_since(0) for event in page]


def post(client, body):
    return client.post(INTERACTIONS, json=body)


def verdicts(answer):
    assert answer.status_code == 200, answer.text
    return [result["status"] for result in answer.json()["results"]]


def ago(**amount):
    return (datetime.now(UTC) - timedelta(**amount)).isoformat()


def test_one_interaction_is_acknowledged_and_in_the_log_under_pseudonyms(client):
    occurred_at = ago(hours=1)
    answer = post(
        client,
        {
            "item_id": "i001", "event_type": "purchase", "user_id": "u001", "session_id": "visit 1", "event_id": "e1",
            "occurred_at": occurred_at, "quantity": 2, "price": 3.5, "order_id": "o 1", "request_id": "r-1",
        },
    )  # fmt: skip
    assert answer.json() == {
        "accepted": 1, "duplicates": 0, "rejected": 0, "degraded": [],
        "results": [{"status": "accepted", "event_id": "e1", "reason": None}],
        "request_id": answer.headers["X-Request-Id"],
    }  # fmt: skip
    [event] = logged(client)
    assert event.user_id == pseudonym("u001", DEVELOPMENT_KEY)
    assert event.session_id == session_pseudonym("visit 1", DEVELOPMENT_KEY)
    assert (event.item_id, event.event_type, event.quantity, event.price) == ("i001", EventType.PURCHASE, 2.0, 3.5)
    assert (event.order_id, event.request_id, event.event_id) == ("o 1", "r-1", "e1")
    assert event.occurred_at_us == round(datetime.fromisoformat(occurred_at).timestamp() * 1_000_000)
    assert 0 < event.received_at_us - event.occurred_at_us - 3_600_000_000 < 60_000_000


def test_no_id_of_a_person_or_a_visit_is_in_the_file(client, home):
    post(client, {**VIEW, "user_id": "anna@shop.example", "session_id": "visit-of-anna"})
    client.get(HOMEPAGE, params={"user_id": "anna@shop.example", "session_id": "visit-of-anna"})
    client.app.state.feedback.close()
    content = b"".join(path.read_bytes() for path in home.glob("feedback.db*"))
    assert pseudonym("anna@shop.example", DEVELOPMENT_KEY).encode() in content
    assert b"anna" not in content


def test_the_same_event_id_is_a_duplicate_and_changes_nothing(client):
    assert verdicts(post(client, {**VIEW, "event_id": "e1"})) == ["accepted"]
    assert verdicts(post(client, {**VIEW, "event_id": "e1", "item_id": "i002"})) == ["duplicate"]
    assert [event.item_id for event in logged(client)] == ["i001"]


def test_without_an_event_id_the_same_content_is_the_same_event(client):
    at = ago(minutes=1)
    assert verdicts(post(client, {**VIEW, "occurred_at": at})) == ["accepted"]
    assert verdicts(post(client, {**VIEW, "occurred_at": at})) == ["duplicate"]
    for other in (
        {"item_id": "i002"},
        {"event_type": "click"},
        {"user_id": "u002"},
        {"quantity": 2},
        {"session_id": "s"},
    ):
        assert verdicts(post(client, {**VIEW, "occurred_at": at, **other})) == ["accepted"]


def test_a_batch_gets_a_verdict_for_each(client):
    batch = [
        {**VIEW, "event_id": "e1"},
        {**VIEW, "event_id": "e1"},
        {**VIEW, "event_type": "stare"},
        {"item_id": "i001", "event_type": "view"},
        {**VIEW, "event_id": "e2", "colour": "red"},
        {**VIEW, "event_id": "e3", "occurred_at": ago(days=731)},
        {**VIEW, "event_id": "e4"},
    ]
    answer = post(client, {"interactions": batch})
    assert verdicts(answer) == ["accepted", "duplicate", "rejected", "rejected", "rejected", "rejected", "accepted"]
    assert (answer.json()["accepted"], answer.json()["duplicates"], answer.json()["rejected"]) == (2, 1, 4)
    reasons = [result["reason"] for result in answer.json()["results"]]
    assert "event_type: Input should be 'purchase'" in reasons[2]
    assert "user_id, session_id or both must be given" in reasons[3]
    assert "colour: Extra inputs are not permitted" in reasons[4]
    assert "not be more than two years ago" in reasons[5]
    assert [event.event_id for event in logged(client)] == ["e1", "e4"]


def test_a_batch_may_have_a_thousand_and_not_one_more(client):
    batch = [{**VIEW, "event_id": f"e{number}"} for number in range(1001)]
    assert post(client, {"interactions": batch}).status_code == 422
    assert logged(client) == []
    assert post(client, {"interactions": batch[:1000]}).json()["accepted"] == 1000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"item_id": None}, "item_id"),
        ({"item_id": ""}, "item_id"),
        ({"item_id": "x" * 257}, "item_id"),
        ({"item_id": "a\x00b"}, "item_id"),
        ({"item_id": "\ud800"}, "item_id"),
        ({"event_type": "stare"}, "event_type"),
        ({"user_id": ""}, "user_id"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": float("nan")}, "quantity"),
        ({"price": -1}, "price"),
        ({"price": float("inf")}, "price"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "occurred_at"),
        ({"occurred_at": ago(days=731)}, "occurred_at"),
        ({"occurred_at": ago(hours=-1)}, "occurred_at"),
        ({"occurred_at": "soon"}, "occurred_at"),
        ({"occurred_at": 1e300}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59-23:59"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "occurred_at"),
        ({"request_id": "two words"}, "request_id"),
        ({"event_id": "x" * 129}, "event_id"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_does_not_fit_is_422_names_the_field_and_is_not_logged(client, change, field):
    import json

    body = json.dumps({**VIEW, **change})
    answer = client.post(INTERACTIONS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [detail["field"].split(".")[-1] for detail in answer.json()["details"]] == [field]
    assert logged(client) == []
    batched = client.post(
        INTERACTIONS, content=f'{{"interactions": [{body}]}}', headers={"Content-Type": "application/json"}
    )
    assert verdicts(batched) == ["rejected"]
    assert field in batched.json()["results"][0]["reason"]


@pytest.mark.parametrize("body", [None, [], [VIEW], 1, "text", {}, {"interactions": []}, {"interactions": [1]}, {"interactions": {}}])  # fmt: skip
def test_a_body_of_another_shape_is_422(client, body):
    assert post(client, body).status_code == 422


def test_a_body_that_is_not_json_is_refused(client):
    for content, kind in ((b"item_id=i001", "application/x-www-form-urlencoded"), (b"{", "application/json")):
        assert client.post(INTERACTIONS, content=content, headers={"Content-Type": kind}).status_code == 422


def test_a_clock_a_little_ahead_is_set_back_so_that_the_next_list_knows(client):
    assert verdicts(post(client, {**VIEW, "occurred_at": ago(minutes=-4)})) == ["accepted"]
    [event] = logged(client)
    assert event.occurred_at_us == event.received_at_us


def test_an_item_nobody_knows_yet_is_taken(client):
    assert verdicts(post(client, {**VIEW, "item_id": "brand new"})) == ["accepted"]
    assert client.get(HOMEPAGE, params={"user_id": "u001"}).status_code == 200


def test_events_are_taken_before_anything_is_released(empty_client):
    assert verdicts(post(empty_client, VIEW)) == ["accepted"]


def categories(answer: dict) -> list[int]:
    return [world.category_of(int(item["product_id"][1:])) for item in answer["recommendations"]]


@pytest.mark.parametrize("who", [{"user_id": "somebody new"}, {"session_id": "a visit"}])
def test_what_a_stranger_does_changes_their_next_list_and_nobody_elses(client, who):
    before = client.get(HOMEPAGE, params={**who, "limit": 5}).json()
    assert not before["context"]["personalised"]
    liked = [item for item in range(world.NUM_ITEMS - 2) if world.category_of(item) == 2][:3]
    batch = [{"item_id": world.item_id(item), "event_type": "purchase", **who} for item in liked]
    assert post(client, {"interactions": batch}).json()["accepted"] == 3
    after = client.get(HOMEPAGE, params={**who, "limit": 5}).json()
    assert after["context"]["personalised"]
    assert categories(after)[:3] == [2, 2, 2] != categories(before)[:3]
    assert after["degraded"] == []
    other = client.get(HOMEPAGE, params={"user_id": "somebody else", "limit": 5}).json()
    assert not other["context"]["personalised"]


def test_after_a_restart_the_list_still_knows(home):
    settings = ServiceSettings(home=home)
    with TestClient(create_app(settings)) as client:
        post(client, {"item_id": "i002", "event_type": "purchase", "user_id": "somebody new"})
        before = client.get(HOMEPAGE, params={"user_id": "somebody new"}).json()
        assert before["context"]["personalised"]
    with TestClient(create_app(settings)) as client:
        after = client.get(HOMEPAGE, params={"user_id": "somebody new"}).json()
    assert after["recommendations"] == before["recommendations"]
    assert after["degraded"] == []


def test_a_list_is_logged_with_who_saw_it_and_what_made_it(client, bundles):
    answer = client.get(HOMEPAGE, params={"user_id": "u001", "limit": 3}, headers={"X-Request-Id": "r-1"}).json()
    from tests.serving.conftest import wait_until
    from tests.serving.feedback.test_log import impressions, rows_of

    log = client.app.state.feedback
    wait_until(lambda: len(rows_of(log, impressions)) == 3)
    places = rows_of(log, impressions)
    assert [(p["item_id"], p["position"], p["source"]) for p in places] == [
        (item["product_id"], item["position"], item["source"]) for item in answer["recommendations"]
    ]
    assert {(p["request_id"], p["surface"], p["bundle_version"], p["user_id"]) for p in places} == {
        ("r-1", "homepage", bundles[0].name, pseudonym("u001", DEVELOPMENT_KEY))
    }
    assert log.trace_of("r-1") is not None
