"""Nothing acknowledged is ever lost: the process is killed, the disk is full, the database is locked."""

import http.client
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from serving.app import create_app
from serving.feedback import engine
from serving.security.keys import development_key
from serving.settings import ServiceSettings
from tests.serving.conftest import TestClient, wait_until
from tests.serving.services import free_port

ROOT = Path(__file__).parents[2]
INTERACTIONS = "/api/v1/interactions"
HOMEPAGE = "/api/v1/recommendations/homepage"


class Service:
    """`python -m serving` in a process of its own."""

    def __init__(self, home: Path, *, before: Callable[[], None] | None = None, **environment: str) -> None:
        self.home, self.port = home, free_port()
        home.mkdir(parents=True, exist_ok=True)
        self._log = (home / "service.log").open("ab")
        settings = {"AISLE_HOME": str(home), "AISLE_SERVICE_PORT": str(self.port), **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=ROOT, env={**os.environ, **settings}, stdout=self._log, stderr=self._log, preexec_fn=before,
        )  # fmt: skip
        wait_until(self._is_up)
        self._key = development_key(home / "development_api_key")

    def post(self, body: object, *, timeout: float = 10) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            connection.request("POST", INTERACTIONS, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._log.close()
        return code

    def _is_up(self) -> bool:
        assert self.process.poll() is None, (self.home / "service.log").read_text()[-2000:]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except ConnectionError:
            return False
        finally:
            connection.close()


@contextmanager
def service(home: Path, **options) -> Iterator[Service]:
    running = Service(home, **options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)


def logged(home: Path) -> set[str]:
    with sqlite3.connect(home / "feedback.db") as connection:
        found = {event_id for (event_id,) in connection.execute("select event_id from interactions")}
    connection.close()
    return found


def view(event_id: str) -> dict[str, str]:
    return {"event_id": event_id, "item_id": "i001", "event_type": "view", "user_id": "u001"}


@pytest.mark.e2e
def test_killed_between_acknowledgement_and_anything_later_no_acknowledged_event_is_lost(tmp_path):
    acknowledged: list[str] = []
    for round_ in range(3):
        with service(tmp_path) as running:

            def keep_posting(worker: int, running=running, round_=round_) -> None:
                number = 0
                while True:
                    number += 1
                    event_id = f"{round_}-{worker}-{number}"
                    try:
                        status, _ = running.post(view(event_id))
                    except (OSError, http.client.HTTPException):
                        return
                    if status == 200:
                        acknowledged.append(event_id)

            workers = [threading.Thread(target=keep_posting, args=(worker,)) for worker in range(4)]
            for worker in workers:
                worker.start()
            enough = len(acknowledged) + 40
            wait_until(lambda enough=enough: len(acknowledged) >= enough)
            assert running.end(signal.SIGKILL) == -signal.SIGKILL
            for worker in workers:
                worker.join()
    assert len(acknowledged) == len(set(acknowledged)) >= 120
    assert set(acknowledged) - logged(tmp_path) == set()


@pytest.mark.e2e
def test_asked_to_stop_it_writes_what_waits_and_ends_well(tmp_path):
    with service(tmp_path) as running:
        status, _ = running.post({"interactions": [view(f"e{number}") for number in range(1000)]})
        assert status == 200
        assert running.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert len(logged(tmp_path)) == 1000


@pytest.mark.e2e
def test_on_a_full_disk_events_are_refused_and_those_before_are_kept(tmp_path):
    def small_disk() -> None:
        # What a write past the limit gets is an error, as on a full disk; every process ignores the signal in Python.
        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))

    acknowledged: set[str] = set()
    with service(tmp_path, before=small_disk) as running:
        refused = None
        for number in range(200):
            batch = [view(f"{number}-{place}") for place in range(200)]
            status, body = running.post({"interactions": batch})
            if status != 200:
                refused = status, body["error"]
                break
            acknowledged |= {result["event_id"] for result in body["results"]}
        assert refused == (503, "feedback_unavailable")
        assert len(acknowledged) >= 200
        running.end(signal.SIGKILL)
    assert acknowledged - logged(tmp_path) == set()
    with service(tmp_path) as running:  # the disk has room again
        assert running.post({"interactions": batch})[1]["accepted"] + len(acknowledged) == len(logged(tmp_path))


@pytest.fixture
def impatient(home, monkeypatch):
    """A service that waits 50 ms for its database."""
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    with TestClient(create_app(ServiceSettings(home=home))) as client:
        yield client


def test_while_the_database_is_locked_events_are_refused_and_lists_go_on(impatient, home):
    body = view("e1")
    with sqlite3.connect(home / "feedback.db", isolation_level=None) as other:
        other.execute("begin immediate")
        answer = impatient.post(INTERACTIONS, json=body)
        assert (answer.status_code, answer.json()["error"]) == (503, "feedback_unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert "None was acknowledged; send them again" in answer.json()["message"]
        assert "counts once" in answer.json()["remedy"]
        before = time.monotonic()
        assert impatient.get(HOMEPAGE, params={"user_id": "u001"}).status_code == 200
        assert time.monotonic() - before < 1
        other.execute("rollback")
    other.close()
    assert impatient.post(INTERACTIONS, json=body).json()["accepted"] == 1
    # The list shown meanwhile was kept and is written now.
    wait_until(lambda: _count(home, "requests") == 1)
    assert impatient.app.state.feedback.dropped_lists == 0


def test_when_the_database_has_no_room_nothing_of_a_batch_is_acknowledged(impatient, home):
    log = impatient.app.state.feedback
    with log.engine.connect() as connection:
        room = [connection.exec_driver_sql("pragma page_count").scalar() + 2]

    @event.listens_for(log.engine, "checkout")
    def _limit(connection, _record, _proxy) -> None:
        connection.execute(f"pragma max_page_count = {room[0]}")

    batch = {"interactions": [view(f"e{number}") for number in range(1000)]}
    answer = impatient.post(INTERACTIONS, json=batch)
    assert (answer.status_code, answer.json()["error"]) == (503, "feedback_unavailable")
    assert logged(home) == set()
    room[0] = 1_000_000
    assert impatient.post(INTERACTIONS, json=batch).json()["accepted"] == 1000


def _count(home: Path, table: str) -> int:
    with sqlite3.connect(home / "feedback.db") as connection:
        [found] = connection.execute(f"select count(*) from {table}").fetchone()
    connection.close()
    return found
