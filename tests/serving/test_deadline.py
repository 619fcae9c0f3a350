"""A list has so much time from when its request is here; what it may wait for, and what it leaves out, follows from that alone."""

import socket
from collections.abc import Iterator
from threading import Event
from time import monotonic
from urllib.parse import urlsplit

import anyio.to_thread
import pytest

from ml.runtime.deadline import Deadline
from serving.app import create_app
from serving.deadline import HEADER, deadline
from serving.online_store import EmbeddedStore, redis_store
from serving.online_store.askers import Askers
from serving.online_store.redis_store import OnlineStoreError, RedisStore
from serving.settings import ServiceSettings
from serving.turns import MOST_POPULAR, Turns
from serving.visits import SHORTEST_SECONDS
from tests.ml.runtime.hurry import hurried
from tests.serving.conftest import TestClient
from tests.serving.lines import Line, line_to
from tests.serving.services import Server, redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

HOMEPAGE = "/api/v1/recommendations/homepage"
USER = {"user_id": "u001", "limit": "20"}
PATIENCE_SECONDS = 30.0
"""Much longer than anything here takes: who comes back was bounded by something else."""


def ask(client: TestClient, **headers: str) -> dict:
    answer = client.get(HOMEPAGE, params=USER, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def late(client: TestClient, *spent: float) -> dict:
    client.app.dependency_overrides[deadline] = lambda: hurried(
        0.0, *spent
    )  # the first look is for the store of visits
    return ask(client)


@pytest.mark.parametrize(
    ("spent", "omitted"),
    [
        ((0.1, 0.2), []),
        ((0.85, 0.85), ["some_candidates"]),
        ((0.85, 0.95), ["some_candidates", "ranker"]),
        ((0.1, 0.85), ["ranker"]),
        ((1.0,), ["candidates", "ranker"]),
    ],
)
def test_what_was_left_out_is_named_counted_and_explained(client, spent, omitted):
    answer = late(client, *spent)
    assert answer["degraded"] == omitted
    assert len(answer["recommendations"]) == 20
    assert answer["context"]["personalised"] == ("candidates" not in omitted)
    metrics = client.get("/metrics").text
    for part in omitted:
        assert f'aisle_lists_degraded_total{{part="{part}",surface="homepage"}} 1.0' in metrics
    why = client.get(f"/api/v1/explain/{answer['request_id']}").json()
    assert why["degraded"] == omitted
    assert [item["product_id"] for item in why["items"]] == [item["product_id"] for item in answer["recommendations"]]
    assert [item["score"] for item in why["items"]] == pytest.approx(
        [item["score"] for item in answer["recommendations"]], abs=1e-5
    )
    assert any(item["ranker"] for item in why["items"]) == ("ranker" not in omitted)


def test_a_list_whose_turn_would_come_too_late_is_popular_at_once_until_there_were_too_many(client, monkeypatch):
    whole = ask(client)
    monkeypatch.setattr(Turns, "wait_seconds", float("inf"))
    for _ in range(MOST_POPULAR):
        answer = ask(client)
        assert answer["degraded"] == ["candidates", "ranker"]
        assert {item["source"] for item in answer["recommendations"]} == {"popular"}
        assert len(answer["recommendations"]) == len(whole["recommendations"])
    refused = client.get(HOMEPAGE, params=USER)
    assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
    assert refused.headers["Retry-After"] == "1"
    monkeypatch.undo()
    assert ask(client)["degraded"] == whole["degraded"] == []


def seconds_of(client: TestClient, **headers: str) -> float:
    """What a request of these headers is given."""
    seen: list[Deadline] = []

    class Noting(EmbeddedStore):
        def read(self, subjects, *, known_since_us, within=None):
            seen.append(within)
            return super().read(subjects, known_since_us=known_since_us, within=within)

    client.app.state.visits._store = Noting()
    ask(client, **headers)
    return 2 * seen[0]  # half of what is left is for what the caller did


def test_a_caller_may_shorten_the_deadline_and_not_lengthen_it(home):
    with TestClient(create_app(ServiceSettings(home=home, deadline_ms=20_000))) as client:
        assert 10 < seconds_of(client) <= 20
        assert 2 < seconds_of(client, **{HEADER: "5000"}) <= 5
        assert 10 < seconds_of(client, **{HEADER: "60000"}) <= 20


@pytest.mark.parametrize("asked", ["0", "-5", "60001", "soon", "1.5"])
def test_a_deadline_that_cannot_be_is_refused(client, asked):
    answer = client.get(HOMEPAGE, params=USER, headers={HEADER: asked})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert answer.json()["details"][0]["field"] == "header.x-deadline-ms"


class Elsewhere(EmbeddedStore):
    """Remembers how long it was given."""

    is_local = False
    within: float | None = None

    def read(self, subjects, *, known_since_us, within=None):
        self.within = within
        return super().read(subjects, known_since_us=known_since_us, within=within)


class Held(EmbeddedStore):
    """Keeps the first who asks until told otherwise, as a store elsewhere may."""

    is_local = False

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = Event(), Event()

    def read(self, subjects, *, known_since_us, within=None):
        if not self.asked.is_set():
            self.asked.set()
            assert self.may_answer.wait(PATIENCE_SECONDS)
        return super().read(subjects, known_since_us=known_since_us, within=within)


@pytest.fixture
def held(client) -> Iterator[Held]:
    """A store that keeps the first who asks, and so the one thread that asks it."""
    store = client.app.state.visits._store = Held()
    client.app.state.visits._askers = askers = Askers(at_once=1)
    yield store
    store.may_answer.set()
    askers.stop()


def test_a_store_that_says_nothing_at_all_costs_a_list_half_its_time_and_nothing_more(client, held):
    """As Redis behind a name that nobody looks up: the store's own measure never begins."""
    for _ in range(2):  # the first hangs in the store, the second waits behind it
        assert "online_state" in ask(client, **{HEADER: "500"})["degraded"]
    assert held.asked.is_set()
    assert not held.may_answer.is_set()


def test_no_list_waits_for_the_threads_of_other_questions(client):
    """Explanations of releases of before hold them for seconds."""

    may_end = Event()

    async def one_thread() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1

    async def plenty() -> Deadline:  # FastAPI would give a plain function a thread
        return hurried(0.0, 0.1)

    client.app.state.visits._store = Elsewhere()
    client.app.dependency_overrides[deadline] = plenty
    client.portal.call(one_thread)
    question = client.portal.start_task_soon(anyio.to_thread.run_sync, may_end.wait, PATIENCE_SECONDS)
    try:
        assert ask(client)["degraded"] == []
        assert not question.done()
    finally:
        may_end.set()


def test_a_store_elsewhere_is_not_asked_when_no_time_is_left(client):
    visits = client.app.state.visits
    store = visits._store = Elsewhere()
    assert late(client, 0.1)["degraded"] == []
    assert store.within == 0.5
    store.within = None
    client.app.dependency_overrides[deadline] = lambda: hurried(1 - SHORTEST_SECONDS)
    assert ask(client)["degraded"] == ["some_candidates", "ranker", "online_state"]
    assert store.within is None
    assert visits.is_filled  # it has not failed: others' lists are whole


@pytest.fixture
def line(redis_url: str) -> Iterator[Line]:
    with line_to(urlsplit(redis_url).port) as line:
        yield line


@pytest.fixture
def patient_store(line: Line, monkeypatch) -> Iterator[RedisStore]:
    """Its own measure would let everybody wait."""
    monkeypatch.setattr(redis_store, "LONGEST_SECONDS", PATIENCE_SECONDS)
    store = RedisStore(f"redis://127.0.0.1:{line.port}/0")
    yield store
    store.close()


@pytest.mark.services
@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("kind", ["silent", "slow", "frozen"])
def test_what_is_left_of_the_deadline_is_all_that_redis_gets(
    patient_store, line: Line, redis_server: Server, kind, is_connected
):
    if is_connected:
        patient_store.read(["u:a"], known_since_us=0, within=PATIENCE_SECONDS)
    begin = {
        "silent": line.fall_silent,
        "slow": lambda: line.slow_down(PATIENCE_SECONDS),
        "frozen": redis_server.freeze,
    }
    begin[kind]()
    asked_at = monotonic()
    try:
        with pytest.raises(OnlineStoreError, match="must answer within 30 ms"):
            patient_store.read(["u:a", "s:b"], known_since_us=0, within=0.03)
    finally:
        redis_server.thaw()
    assert monotonic() - asked_at < PATIENCE_SECONDS / 10
    line.mend()
    assert patient_store.read(["u:a"], known_since_us=0, within=PATIENCE_SECONDS).events == ()


@pytest.mark.services
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_name_that_nobody_looks_up_costs_no_more_time_than_there_is(redis_url: str, monkeypatch, scheme):
    """A resolver has no limit of its own that could be set: it asks every server of names it knows, several seconds each."""
    answered = Event()
    look_up = socket.getaddrinfo

    def silent(*arguments, **options):
        answered.wait(PATIENCE_SECONDS)
        return look_up(*arguments, **options)

    store = RedisStore(redis_url.replace("redis://127.0.0.1", f"{scheme}://localhost"))
    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        for _ in range(2):  # the second time it is still being looked up
            asked_at = monotonic()
            with pytest.raises(OnlineStoreError, match=r"must answer within 30 ms\. Received: .*[Tt]imeout"):
                store.read(["u:a"], known_since_us=0, within=0.03)
            assert monotonic() - asked_at < PATIENCE_SECONDS / 10
    finally:
        answered.set()
    if scheme == "redis":
        assert store.read(["u:a"], known_since_us=0, within=PATIENCE_SECONDS).events == ()
    store.close()


@pytest.mark.services
def test_connections_that_lay_idle_while_the_line_broke_cost_nobody_anything(line: Line):
    """One failure tells of all of them; each by itself would open the breaker again."""
    store = RedisStore(f"redis://127.0.0.1:{line.port}/0")
    store.read(["u:a"], known_since_us=0)
    five = [store._pool.get_connection() for _ in range(5)]
    for connection in five:
        store._pool.release(connection)
    line.fall_silent()
    line.mend()  # connections of before stay dead
    with pytest.raises(OnlineStoreError):
        store.read(["u:a"], known_since_us=0)
    assert not any(connection.is_connected for connection in five)
    store.read(["u:a"], known_since_us=0)
    store.close()


def test_a_list_without_ranker_shows_other_places_than_one_with_it(client):
    """Else nothing above would have shown that the ranker was left out."""
    on_time, unranked = late(client, 0.1), late(client, 0.1, 0.85)
    assert on_time["recommendations"][0]["score"] != unranked["recommendations"][0]["score"]
