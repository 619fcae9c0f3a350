"""What a supervisor does about workers that die and cannot be started, tried with processes that only say that they are ready."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serving.workers import supervisor
from serving.workers.supervisor import Supervisor
from tests.serving.conftest import wait_until

READY_AFTER = "import os, sys, time; time.sleep({seconds}); os.write({ready}, b'1'); time.sleep(600)"


class Sleepers(Supervisor):
    """Of workers that say they are ready after a while, and sleep."""

    seconds_to_be_ready = 0.0
    watches = False
    """All were ready once."""

    def _mend(self) -> None:
        self.watches = True
        super()._mend()

    def _command(self, number: int, ready: int, *, gently: bool) -> list[str]:  # noqa: ARG002 - as it is declared
        script = READY_AFTER.format(seconds=self.seconds_to_be_ready, ready=ready)
        return [sys.executable, "-S", "-c", script, str(number)]

    def workers(self) -> dict[int, psutil.Process]:
        """Those that live, by number."""
        return {each.number: psutil.Process(each.process.pid) for each in self._workers if each.process.poll() is None}


class Life:
    """A supervisor at work in a thread: signals are this process's own."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.supervisor = Sleepers(2, listener, folder, drain_seconds=0)
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()
        wait_until(lambda: self.supervisor.watches)

    def renew(self) -> None:
        self.supervisor._renewing.set()

    def end(self) -> int | None:
        self.supervisor._stopping.set()
        if self._thread.is_alive():
            self._thread.join(30)
        return self.code

    def _run(self) -> None:
        self.code = self.supervisor.run()


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    monkeypatch.setattr(signal, "signal", lambda *_: signal.SIG_DFL)  # only a main thread may
    monkeypatch.setattr(supervisor, "_PAUSE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Life(tmp_path, listener)
        yield found
        found.end()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def no_more_processes(*_arguments: object, **_options: object) -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_worker_that_cannot_be_started_now_is_started_later(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.begin()
    files = open_files()
    with monkeypatch.context() as crowded:
        crowded.setattr(subprocess, "Popen", no_more_processes)
        life.supervisor.workers()[1].kill()
        wait_until(lambda: set(life.supervisor.workers()) == {2})
        time.sleep(0.5)  # several attempts
    wait_until(lambda: len(life.supervisor.workers()) == 2)
    assert open_files() <= files, "each attempt gives back what it opened"  # others of this process may close theirs
    assert life.end() == 0


def test_without_a_process_for_its_successor_a_worker_stays(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.begin()
    with monkeypatch.context() as crowded:
        crowded.setattr(subprocess, "Popen", no_more_processes)
        life.renew()
        wait_until(lambda: not life.supervisor._renewing.is_set())
        time.sleep(0.2)
    assert set(life.supervisor.workers()) == {1, 2}
    life.renew()
    wait_until(lambda: len(life.supervisor.workers()) == 2 and not {1, 2} & set(life.supervisor.workers()))
    assert life.end() == 0


def test_a_start_without_any_process_ends_with_1(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", no_more_processes)
    assert life.supervisor.run() == 1


@pytest.mark.parametrize("dies", [1, 2])
def test_a_worker_that_dies_while_others_are_renewed_is_replaced_at_once(life: Life, dies: int) -> None:
    life.begin()
    life.supervisor.seconds_to_be_ready = 3.0
    began = time.monotonic()
    life.renew()
    time.sleep(0.3)
    life.supervisor.seconds_to_be_ready = 0.0
    life.supervisor.workers()[dies].kill()
    wait_until(lambda: len(life.supervisor.workers()) == 2 and dies not in life.supervisor.workers())
    assert time.monotonic() - began < 3.0, "before the new one of the renewal was ready"
    wait_until(lambda: not {1, 2} & set(life.supervisor.workers()))
    assert life.end() == 0
