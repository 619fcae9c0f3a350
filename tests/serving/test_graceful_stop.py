"""SIGTERM: it says that it goes, finishes what it began, writes what waits, and ends with code 0."""

import contextlib
import http.client
import json
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from ml.release.publish import publish
from tests.serving.conftest import NOW, wait_until
from tests.serving.process import INTERACTIONS, Service, service

pytestmark = pytest.mark.e2e
HOMEPAGE = "/api/v1/recommendations/homepage?user_id=u003&limit=5"


@pytest.fixture
def released(tmp_path: Path, bundles: tuple[Path, Path]) -> Path:
    publish(bundles[0], releases=tmp_path / "releases", now=NOW)
    return tmp_path


class Caller(threading.Thread):
    """Asks on one connection after the other, each for as long as it is kept open; stops when no new one is taken."""

    def __init__(self, running: Service) -> None:
        super().__init__(daemon=True)
        self._running = running
        self.statuses: list[int] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        while True:
            connection = self._running.connection()
            try:
                connection.connect()
            except ConnectionError:
                return
            answered = len(self.statuses)
            try:
                with contextlib.closing(connection):
                    self._ask_until_it_is_closed(connection)
            except (OSError, http.client.HTTPException) as error:
                # The kernel resets what it had queued when the listener closes: nobody had accepted that one.
                is_refused = isinstance(error, ConnectionResetError) and len(self.statuses) == answered
                self.failure = None if is_refused else error
                return

    def _ask_until_it_is_closed(self, connection: http.client.HTTPConnection) -> None:
        while connection.sock is not None:
            connection.request("GET", HOMEPAGE, headers=self._running.headers)
            answer = connection.getresponse()
            answer.read()
            self.statuses.append(answer.status)


def test_under_requests_none_on_an_open_connection_is_lost_and_what_was_shown_is_written(released: Path) -> None:
    with service(released, AISLE_DRAIN_SECONDS="1") as running:
        callers = [Caller(running) for _ in range(3)]
        for caller in callers:
            caller.start()
        wait_until(lambda: all(len(caller.statuses) >= 5 for caller in callers))
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: running.get("/readyz")[0] == 503)
        status, told = running.get("/readyz")
        assert (status, json.loads(told)["error"]) == (503, "stopping"), "and it still answers"
        assert running.process.wait(60) == 0
        for caller in callers:
            caller.join(20)
    assert [caller.failure for caller in callers] == [None] * 3
    shown = [status for caller in callers for status in caller.statuses]
    assert set(shown) == {200}
    with sqlite3.connect(released / "feedback.db") as connection:
        [written] = connection.execute("select count(*) from requests").fetchone()
    connection.close()
    assert written == len(shown)


def test_a_request_half_sent_is_answered_whole(released: Path) -> None:
    body = json.dumps({"event_id": "e1", "item_id": "i001", "event_type": "view", "user_id": "u001"}).encode()
    with service(released, AISLE_DRAIN_SECONDS="0") as running:
        connection = running.connection()
        connection.putrequest("POST", INTERACTIONS)
        for name, value in {**running.headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[:10])
        wait_until(lambda: "aisle_http_requests_in_flight 2.0" in running.get("/metrics")[1])
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Shutting down" in running.log)
        connection.send(body[10:])
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["accepted"]) == (200, 1)
        assert answer.headers["Connection"] == "close"
        assert running.process.wait(60) == 0
