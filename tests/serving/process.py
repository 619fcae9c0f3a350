"""`python -m serving` in a process of its own, as tests of its life and death need it."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.security.keys import development_key
from tests.serving.conftest import wait_until
from tests.serving.services import free_port

ROOT = Path(__file__).parents[2]
SECONDS_TO_START = 120
INTERACTIONS = "/api/v1/interactions"


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
        try:
            wait_until(self._is_up, seconds=SECONDS_TO_START)
        except BaseException:
            self.close()
            raise
        self._key = development_key(home / "development_api_key")

    def connection(self, *, timeout: float = 10) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}

    @property
    def log(self) -> str:
        return (self.home / "service.log").read_text()

    def get(self, path: str) -> tuple[int, str]:
        connection = self.connection()
        try:
            connection.request("GET", path, headers=self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def post(self, body: object, *, timeout: float = 10) -> tuple[int, dict]:
        connection = self.connection(timeout=timeout)
        try:
            connection.request("POST", INTERACTIONS, json.dumps(body), self.headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self._log.close()

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log[-2000:]
        connection = self.connection()
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def service(home: Path, **options) -> Iterator[Service]:
    running = Service(home, **options)
    try:
        yield running
    finally:
        running.close()
