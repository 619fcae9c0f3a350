import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.responses import PlainTextResponse

from serving.app import create_app
from serving.security.keys import ApiKey, Scope
from serving.security.limits import BodyLimit, RateLimit
from serving.settings import ServiceSettings
from serving.turns import MOST_POPULAR
from tests.serving.conftest import NOW, TestClient

HOMEPAGE = "/api/v1/recommendations/homepage"
INTERACTIONS = "/api/v1/interactions"


async def fine(scope, receive, send):
    await PlainTextResponse("fine")(scope, receive, send)


def status_of(app, key=None, *, messages=(), **scope):
    """One call of an ASGI app; the status and headers of its answer."""
    sent, waiting = [], list(messages)

    async def receive():
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {"request_id": "r", "api_key": key}} | scope  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_each_key_has_its_own_allowance_that_refills():
    clock = [0.0]
    limit = RateLimit(fine, per_second=2, burst=3, clock=lambda: clock[0])
    one, other = (ApiKey.make(name, [Scope.READ], now=NOW)[1] for name in ("one", "other"))
    assert [status_of(limit, one)[0] for _ in range(4)] == [200, 200, 200, 429]
    assert status_of(limit, other)[0] == 200
    assert status_of(limit, one)[1]["retry-after"] == "1"
    clock[0] += 1.0  # two tokens
    assert [status_of(limit, one)[0] for _ in range(3)] == [200, 200, 429]
    clock[0] += 1000.0  # never more than the burst
    assert [status_of(limit, one)[0] for _ in range(4)] == [200, 200, 200, 429]


def test_too_many_requests_of_a_key_are_429_with_a_time_to_wait(home):
    with TestClient(create_app(ServiceSettings(home=home, rate_per_second=0.1, rate_burst=2))) as client:
        answers = [client.get("/api/v1/model") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["error"] == "too_many_requests"
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 10
        assert client.get("/readyz").status_code == 200


def test_one_request_more_than_can_be_answered_is_503_at_once_and_probes_pass(home, monkeypatch):
    inside, may_end = threading.Semaphore(0), threading.Event()

    async def wait(*_args, **_kwargs):
        inside.release()
        while not may_end.is_set():
            await asyncio.sleep(0.01)
        raise RuntimeError("over")

    monkeypatch.setattr("serving.lists.ListMaker.made", wait)
    app = create_app(ServiceSettings(home=home, max_concurrent=2))
    with TestClient(app, raise_server_exceptions=False) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.get, HOMEPAGE) for _ in range(2)]
        assert all(inside.acquire(timeout=20) for _ in waiting)
        while "aisle_http_requests_in_flight 3.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = client.get(HOMEPAGE)
        assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
        assert refused.headers["Retry-After"] == "1"
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        may_end.set()
        assert [future.result(20).status_code for future in waiting] == [500, 500]
        assert client.get("/api/v1/model").status_code == 200  # places are given back, also after a defect


def test_who_has_no_key_or_asks_too_often_takes_no_list_out_of_turn(home, monkeypatch):
    monkeypatch.setattr("serving.turns.Turns.wait_seconds", 60.0)
    strangers, settings = (
        {"Authorization": "Bearer nobody"},
        ServiceSettings(home=home, rate_per_second=0.1, rate_burst=1),
    )
    with TestClient(create_app(settings)) as client:
        turns = client.app.state.turns
        assert {client.get(HOMEPAGE, headers=strangers).status_code for _ in range(MOST_POPULAR + 1)} == {401}
        first, second = client.get(HOMEPAGE), client.get(HOMEPAGE)
        assert (first.status_code, second.status_code) == (200, 429)
        assert sum(turns.may_pass() for _ in range(MOST_POPULAR)) == MOST_POPULAR - 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_long_is_413_before_it_is_parsed(home, chunked):
    body = b'{"interactions": [' + b" " * 2000 + b"]}"
    with TestClient(create_app(ServiceSettings(home=home, max_body_bytes=1024))) as client:
        answer = client.post(INTERACTIONS, content=iter([body[:500], body[500:]]) if chunked else body)
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")
    assert "1024 bytes" in answer.json()["message"]


def test_a_body_is_counted_as_it_comes_whatever_it_announced():
    pieces = [{"type": "http.request", "body": b"x" * 600, "more_body": True}] * 1000
    limit = BodyLimit(fine, max_bytes=1024)
    assert status_of(limit, method="POST", messages=pieces, headers=[(b"content-length", b"10")])[0] == 413
    assert status_of(limit, method="GET", messages=pieces, headers=[(b"transfer-encoding", b"chunked")])[0] == 413


def test_a_body_that_does_not_come_is_408():
    part = {"type": "http.request", "body": b"x", "more_body": True}
    limit = BodyLimit(fine, max_bytes=1024, seconds=0.05)
    assert status_of(limit, method="POST", messages=[part])[0] == 408


def test_a_stranger_is_refused_without_a_look_at_the_body(client):
    answer = client.post(INTERACTIONS, content=b"x" * 5_000_000, headers={"Authorization": ""})
    assert answer.status_code == 401


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deeply_nested_json_is_refused_and_not_a_crash(client, depth):
    body = b'{"interactions": [' + b"[" * depth + b"]" * depth + b"]}"
    answer = client.post(INTERACTIONS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "message", "remedy", "details", "request_id"}


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", HOMEPAGE])
def test_every_answer_tells_the_browser_to_do_nothing_with_it(client, path):
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_the_page_of_the_api_may_load_what_it_needs(client):
    assert "cdn.jsdelivr.net" in client.get("/docs").headers["Content-Security-Policy"]


def test_no_other_web_page_may_call_unless_it_is_named(home):
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    with TestClient(create_app(ServiceSettings(home=home))) as client:
        closed = client.options(HOMEPAGE, headers={**preflight, "Authorization": ""})
        assert closed.status_code == 401
        assert "access-control-allow-origin" not in client.get(HOMEPAGE, headers=preflight).headers
    with TestClient(create_app(ServiceSettings(home=home, cors_origins=["https://shop.example"]))) as client:
        allowed = client.options(HOMEPAGE, headers={**preflight, "Authorization": ""})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        elsewhere = client.options(
            HOMEPAGE, headers={**preflight, "Authorization": "", "Origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in elsewhere.headers
