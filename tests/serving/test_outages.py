"""Redis and PostgreSQL frozen, killed, empty: lists go on, no event is lost, and all is well again by itself."""

import threading
import time
from collections.abc import Iterator

import pytest

from serving.app import create_app
from serving.feedback.engine import engine_of
from serving.feedback.migrate import migrate
from serving.routes import interactions
from serving.settings import ServiceSettings
from tests.serving.conftest import TestClient, wait_until
from tests.serving.services import Server, postgresql_server, postgresql_url, redis_server, redis_url

__all__ = ["postgresql_server", "postgresql_url", "redis_server", "redis_url"]

pytestmark = pytest.mark.services

INTERACTIONS = "/api/v1/interactions"
HOMEPAGE = "/api/v1/recommendations/homepage"
NEW = {"user_id": "somebody new"}
LONGEST_SECONDS = 1.0
"""Generous: what is held here is that nothing waits for a server without end."""


def bought(item_id: str, **who: str) -> dict[str, str]:
    return {"item_id": item_id, "event_type": "purchase", **(who or NEW)}


def ask(client: TestClient, **who: str) -> dict:
    before = time.monotonic()
    answer = client.get(HOMEPAGE, params=who or NEW)
    assert time.monotonic() - before < LONGEST_SECONDS
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def with_redis(home, redis_url: str) -> Iterator[TestClient]:
    with TestClient(create_app(ServiceSettings(home=home, redis_url=redis_url))) as client:
        yield client


@pytest.fixture
def with_postgresql(home, postgresql_url: str) -> Iterator[TestClient]:
    engine = engine_of(postgresql_url, default=home)
    migrate(engine)
    engine.dispose()
    with TestClient(create_app(ServiceSettings(home=home, feedback_url=postgresql_url))) as client:
        yield client


def test_with_redis_two_processes_know_the_same_visits(with_redis, home, redis_url):
    assert with_redis.post(INTERACTIONS, json=bought("i001")).json()["degraded"] == []
    with TestClient(create_app(ServiceSettings(home=home, redis_url=redis_url))) as other:
        assert ask(other)["context"]["personalised"]
        assert other.post(INTERACTIONS, json=bought("i002", user_id="another")).json()["accepted"] == 1
    assert ask(with_redis, user_id="another")["context"]["personalised"]


def test_frozen_redis_costs_lists_their_newest_events_and_nothing_else(with_redis, redis_server: Server):
    assert with_redis.post(INTERACTIONS, json=bought("i001")).json()["accepted"] == 1
    threads = threading.active_count()
    redis_server.freeze()
    try:
        for _ in range(20):
            known = ask(with_redis, user_id="u001")
            assert (known["context"]["personalised"], known["degraded"]) == (True, ["online_state"])
        assert not ask(with_redis)["context"]["personalised"]
        posted = with_redis.post(INTERACTIONS, json=bought("i002", user_id="another")).json()
        assert (posted["accepted"], posted["degraded"]) == (1, ["online_state"])
        assert threading.active_count() <= threads + 2
    finally:
        redis_server.thaw()
    thawed = time.monotonic()
    wait_until(lambda: ask(with_redis)["degraded"] == [])
    assert time.monotonic() - thawed < 5
    assert ask(with_redis)["context"]["personalised"]
    assert ask(with_redis, user_id="another")["context"]["personalised"]  # what it missed was put in from the log


def test_a_redis_that_lost_everything_is_filled_from_the_log(with_redis, redis_server: Server):
    assert with_redis.post(INTERACTIONS, json=bought("i001")).json()["accepted"] == 1
    redis_server.kill()
    assert ask(with_redis)["degraded"] == ["online_state"]
    redis_server.start()
    wait_until(lambda: ask(with_redis)["degraded"] == [])
    assert ask(with_redis)["context"]["personalised"]


def test_a_service_starts_without_its_redis(home):
    with TestClient(create_app(ServiceSettings(home=home, redis_url="redis://127.0.0.1:1/0"))) as client:
        assert ask(client, user_id="u001")["degraded"] == ["online_state"]
        assert client.post(INTERACTIONS, json=bought("i001")).json()["degraded"] == ["online_state"]


def test_events_go_to_postgresql_and_change_the_next_list(with_postgresql):
    assert with_postgresql.post(INTERACTIONS, json={**bought("i001"), "event_id": "e1"}).json()["accepted"] == 1
    assert with_postgresql.post(INTERACTIONS, json={**bought("i001"), "event_id": "e1"}).json()["duplicates"] == 1
    assert ask(with_postgresql)["context"]["personalised"]
    wait_until(lambda: with_postgresql.get("/api/v1/analytics/recommendations/performance").json()["rows"] != [])


def test_while_postgresql_is_away_events_are_refused_lists_go_on_and_it_comes_back(
    with_postgresql, postgresql_server: Server
):
    assert with_postgresql.post(INTERACTIONS, json={**bought("i001"), "event_id": "e1"}).json()["accepted"] == 1
    postgresql_server.kill()
    answer = with_postgresql.post(INTERACTIONS, json={**bought("i002"), "event_id": "e2"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert ask(with_postgresql)["context"]["personalised"]
    assert with_postgresql.get("/api/v1/analytics/conversion-funnel").status_code == 503
    postgresql_server.start()
    again = with_postgresql.post(INTERACTIONS, json={"interactions": [{**bought("i001"), "event_id": "e1"}, {**bought("i002"), "event_id": "e2"}]})  # fmt: skip
    assert [result["status"] for result in again.json()["results"]] == ["duplicate", "accepted"]


def test_frozen_postgresql_holds_up_neither_lists_nor_the_refusal_of_events(
    with_postgresql, postgresql_server: Server, monkeypatch
):
    monkeypatch.setattr(interactions, "SECONDS_TO_COMMIT", 0.2)
    threads = threading.active_count()
    postgresql_server.freeze()
    try:
        for number in range(3):
            answer = with_postgresql.post(INTERACTIONS, json={**bought("i001"), "event_id": f"e{number}"})
            assert (answer.status_code, answer.json()["error"]) == (503, "feedback_unavailable")
            ask(with_postgresql, user_id="u001")
        assert threading.active_count() <= threads + 2
    finally:
        postgresql_server.thaw()
    monkeypatch.undo()
    answer = with_postgresql.post(INTERACTIONS, json={"interactions": [{**bought("i001"), "event_id": f"e{number}"} for number in range(3)]})  # fmt: skip
    assert {result["status"] for result in answer.json()["results"]} <= {"accepted", "duplicate"}


def test_a_service_starts_without_its_postgresql(home):
    settings = ServiceSettings(home=home, feedback_url="postgresql://aisle@127.0.0.1:1/aisle")
    with TestClient(create_app(settings)) as client:
        assert ask(client, user_id="u001")["context"]["personalised"]
        assert client.post(INTERACTIONS, json=bought("i001")).status_code == 503
