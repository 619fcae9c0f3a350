"""Two real workers behind one port: one life, from start to end."""

import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ml.contract.release import ReleasePointer
from ml.release.publish import publish, rollback
from tests.serving.conftest import NOW, wait_until
from tests.serving.process import Service, service
from tests.serving.services import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

pytestmark = pytest.mark.services
HOMEPAGE = "/api/v1/recommendations/homepage?limit=5"
LOOK_SECONDS = 0.25
"""A page of metrics asks every worker; asked again and again it would take the cores that a worker needs to start."""


@pytest.fixture
def running(tmp_path: Path, bundles: tuple[Path, Path], redis_url: str) -> Iterator[Service]:
    for bundle in reversed(bundles):
        publish(bundle, releases=tmp_path / "releases", now=NOW)
    settings = {"AISLE_WORKERS": "2", "AISLE_REDIS_URL": redis_url, "AISLE_DRAIN_SECONDS": "0.5"}
    with service(tmp_path, **settings) as found:
        wait_until(lambda: len(workers(found)) == 2, seconds=240, every=LOOK_SECONDS)
        yield found


def metrics(running: Service, name: str) -> dict[str, float]:
    """By worker; what several routes have is added up."""
    found: dict[str, float] = {}
    for worker, value in re.findall(rf'^{name}{{.*worker="(\d+)".*}} (\S+)$', running.get("/metrics")[1], re.MULTILINE):
        found[worker] = found.get(worker, 0) + float(value)
    return found


def workers(running: Service) -> set[str]:
    return {worker for worker, is_up in metrics(running, "aisle_worker_up").items() if is_up}


def processes(running: Service) -> dict[str, psutil.Process]:
    """Workers by number, but those that have ended and whom their supervisor has not looked after yet."""
    found = {}
    for child in psutil.Process(running.process.pid).children():
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            command = child.cmdline()
            found[command[command.index("--number") + 1]] = child
    return found


class Pool(threading.Thread):
    """A shop's back end: one connection kept open, asked again and again, and never a second time for the same list."""

    def __init__(self, running: Service) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._over = threading.Event()
        self.versions: list[str] = []
        self.failures: list[object] = []

    def run(self) -> None:
        connection = self._running.connection()
        while not self._over.is_set():
            try:
                connection.request("GET", HOMEPAGE, headers=self._running.headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
                connection.close()
                continue
            if answer.status == 200:
                self.versions.append(json.loads(body)["bundle_version"])
            else:
                self.failures.append(body)
            time.sleep(0.05)
        connection.close()

    def end(self) -> None:
        self._over.set()
        self.join(20)


def test_two_workers_share_a_port_a_rollback_a_visit_and_a_page_of_metrics_and_are_replaced_without_a_failed_request(
    running: Service, bundles: tuple[Path, Path]
) -> None:
    pools = [Pool(running) for _ in range(2)]
    for pool in pools:
        pool.start()
    try:
        wait_until(lambda: all(pool.versions for pool in pools))
        _every_worker_follows_a_rollback(running, bundles)
        _an_event_one_worker_took_is_known_to_the_other(running)
        _they_are_replaced_one_by_one(running)
        _one_that_is_killed_is_replaced(running, pools)
    finally:
        for pool in pools:
            pool.end()
    assert [failure for pool in pools for failure in pool.failures] == []
    _a_worker_that_could_not_answer_takes_nobodys_place(running)
    assert running.end(signal.SIGTERM) == 0


def _every_worker_follows_a_rollback(running: Service, bundles: tuple[Path, Path]) -> None:
    rollback(running.home / "releases", now=NOW)
    live = f'aisle_bundle_info{{bundle_version="{bundles[1].name}",worker='
    wait_until(lambda: running.get("/metrics")[1].count(live) == 2, every=LOOK_SECONDS)


def _an_event_one_worker_took_is_known_to_the_other(running: Service) -> None:
    path = f"{HOMEPAGE}&session_id=s1"
    assert not json.loads(running.get(path)[1])["context"]["personalised"]
    assert running.post({"item_id": "i001", "event_type": "cart_add", "session_id": "s1"})[1]["accepted"] == 1
    before = metrics(running, "aisle_http_requests_total")
    asked_both = False
    while not asked_both:  # each on a connection of its own, which either worker may take
        assert json.loads(running.get(path)[1])["context"]["personalised"]
        now = metrics(running, "aisle_http_requests_total")
        asked_both = all(now[worker] > before[worker] + 1 for worker in before)


def _they_are_replaced_one_by_one(running: Service) -> None:
    before = workers(running)
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(workers(running)) == 2 and not workers(running) & before, seconds=240, every=LOOK_SECONDS)
    assert sum(metrics(running, "aisle_bundle_live").values()) == 2


def _one_that_is_killed_is_replaced(running: Service, pools: list[Pool]) -> None:
    for pool in pools:
        pool.end()  # what a killed process was answering is lost, and nobody can help it
    before = workers(running)
    processes(running)[min(before)].kill()
    wait_until(lambda: len(workers(running)) == 2 and workers(running) != before, seconds=240, every=LOOK_SECONDS)


def _a_worker_that_could_not_answer_takes_nobodys_place(running: Service) -> None:
    before = workers(running)
    vectors = ReleasePointer.read(running.home / "releases").bundle_in(running.home / "releases") / "item_vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"!")
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "did not become ready" in running.log, seconds=240, every=LOOK_SECONDS)
    wait_until(lambda: workers(running) == before, seconds=240, every=LOOK_SECONDS)
    assert running.get(HOMEPAGE)[0] == 200
