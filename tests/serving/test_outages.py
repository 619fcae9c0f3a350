"""Redis and PostgreSQL killed, frozen, slow, half open: lists go on in time, no event is lost, and all is well again by itself."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from serving.app import create_app
from serving.feedback.engine import engine_of
from serving.feedback.migrate import migrate
from serving.routes import interactions
from serving.settings import ServiceSettings
from tests.serving.conftest import TestClient, wait_until
from tests.serving.lines import line_to
from tests.serving.services import Server, postgresql_server, postgresql_url, redis_server, redis_url

__all__ = ["postgresql_server", "postgresql_url", "redis_server", "redis_url"]

pytestmark = pytest.mark.services

INTERACTIONS = "/api/v1/interactions"
HOMEPAGE = "/api/v1/recommendations/homepage"
NEW = {"user_id": "somebody new"}
DEADLINE_MS = 100
LONGEST_SECONDS = 5.0
"""Generous: here nothing may wait for a server without end. How long it may wait at all is held in test_deadline.py, where nothing but
the deadline ends the wait."""
SLOW_SECONDS = 1.0
RECOVERY_SECONDS = 2.0
ASKED = 200
AT_ONCE = 4


@dataclass(frozen=True)
class Fault:
    """Something that happens to a server, seen from where it is asked."""

    url: str
    begin: Callable[[], None]
    end: Callable[[], None]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self.begin()
        try:
            yield
        finally:
            self.end()


FAULTS = ("killed", "frozen", "slow", "half open")


@contextmanager
def fault_of(kind: str, server: Server) -> Iterator[Fault]:
    if kind == "killed":
        yield Fault(server.url, server.kill, server.start)
        return
    if kind == "frozen":
        yield Fault(server.url, server.freeze, server.thaw)
        return
    port = urlsplit(server.url).port
    with line_to(port) as line:
        begin = line.fall_silent if kind == "half open" else lambda: line.slow_down(SLOW_SECONDS)
        yield Fault(server.url.replace(f":{port}", f":{line.port}"), begin, line.mend)


@pytest.fixture(params=FAULTS)
def redis_fault(request, redis_server: Server, redis_url: str) -> Iterator[Fault]:  # noqa: ARG001 - it empties the server
    with fault_of(request.param, redis_server) as fault:
        yield fault


@pytest.fixture(params=FAULTS)
def postgresql_fault(request, postgresql_server: Server, postgresql_url: str, home) -> Iterator[Fault]:
    engine = engine_of(postgresql_url, default=home)
    migrate(engine)
    engine.dispose()
    with fault_of(request.param, postgresql_server) as fault:
        yield fault


@contextmanager
def service(**settings) -> Iterator[TestClient]:
    with TestClient(create_app(ServiceSettings(deadline_ms=DEADLINE_MS, **settings))) as client:
        yield client


class Visitors:
    """Several at once, who keep asking; `threads` counts theirs too."""

    def __init__(self, client: TestClient, pool: ThreadPoolExecutor) -> None:
        self._client = client
        self._pool = pool
        self.ask(10 * AT_ONCE)  # until every thread there will be is there

    def ask(self, times: int = ASKED) -> list[dict]:
        """What everybody got, each in time."""
        return list(self._pool.map(lambda _: ask(self._client, user_id="u001"), range(times)))

    @property
    def threads(self) -> int:
        return psutil.Process().num_threads()


def seconds_until(is_so: Callable[[], bool]) -> float:
    began = time.monotonic()
    wait_until(is_so)
    return time.monotonic() - began


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


def test_without_redis_lists_lack_the_newest_events_and_nothing_else(home, redis_fault: Fault):
    with service(home=home, redis_url=redis_fault.url) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        assert client.post(INTERACTIONS, json=bought("i001")).json()["accepted"] == 1
        visitors = Visitors(client, pool)
        threads = visitors.threads
        with redis_fault.going_on():
            answers = visitors.ask()
            assert all("online_state" in answer["degraded"] for answer in answers)
            assert {len(answer["recommendations"]) for answer in answers} == {12}
            posted = client.post(INTERACTIONS, json=bought("i002", user_id="another")).json()
            assert (posted["accepted"], posted["degraded"]) == (1, ["online_state"])
            assert visitors.threads <= threads + 1
        assert seconds_until(lambda: ask(client)["degraded"] == []) < RECOVERY_SECONDS
        for missed in (NEW, {"user_id": "another"}):  # put in from the log
            wait_until(lambda missed=missed: ask(client, **missed)["context"]["personalised"])


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


def test_without_postgresql_lists_lack_nothing_and_no_event_is_lost(
    home, postgresql_fault: Fault, postgresql_server: Server, monkeypatch
):
    events = [{**bought("i001"), "event_id": f"e{number}"} for number in range(4)]
    with service(home=home, feedback_url=postgresql_fault.url) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        assert client.post(INTERACTIONS, json=events[0]).json()["accepted"] == 1
        visitors = Visitors(client, pool)
        threads = visitors.threads
        acknowledged = {"e0"}
        with postgresql_fault.going_on(), monkeypatch.context() as hurry:
            hurry.setattr(interactions, "SECONDS_TO_COMMIT", 0.2)
            assert not any("online_state" in answer["degraded"] for answer in visitors.ask())
            for event in events[1:3]:
                answer = client.post(INTERACTIONS, json=event)
                if answer.status_code == 200:
                    acknowledged.add(event["event_id"])
                else:
                    assert (answer.status_code, answer.json()["error"]) == (503, "feedback_unavailable")
                    assert answer.headers["Retry-After"] == "1"
            assert visitors.threads <= threads + 1
        back = seconds_until(lambda: client.post(INTERACTIONS, json=events[3]).status_code == 200)
        assert back < RECOVERY_SECONDS  # of which SILENT_SECONDS may be the silence of what was under way
        results = client.post(INTERACTIONS, json={"interactions": events}).json()["results"]
        assert [result["status"] for result in results if result["event_id"] in acknowledged | {"e3"}] == [
            "duplicate"
        ] * (len(acknowledged) + 1)
        assert {result["status"] for result in results} <= {"accepted", "duplicate"}
    with psycopg.connect(postgresql_server.url) as connection:
        kept = {event_id for (event_id,) in connection.execute("select event_id from interactions")}
    assert kept == {event["event_id"] for event in events}


def test_a_service_starts_without_its_postgresql(home):
    settings = ServiceSettings(home=home, feedback_url="postgresql://aisle@127.0.0.1:1/aisle")
    with TestClient(create_app(settings)) as client:
        assert ask(client, user_id="u001")["context"]["personalised"]
        assert client.post(INTERACTIONS, json=bought("i001")).status_code == 503
