"""The parent of the workers: holds the socket, keeps so many of them alive, and replaces them one by one on SIGHUP."""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic, sleep
from types import FrameType

from serving.settings import ServiceSettings

BACKLOG = 2048
SECONDS_TO_BE_READY = 300.0
"""For opening a bundle; a new worker that needs longer is given up and the old one stays."""
SECONDS_TO_END = 45.0
"""After its draining: requests under way, the log, and some to spare."""
READY, EMPTY = b"1", b"0"
"""What a worker says once it accepts: with the release that should be live, or with an older one or none."""
_LOOK_SECONDS = 0.2
_END_SECONDS = 0.02
"""Between two looks whether a worker has ended."""
_PAUSE_SECONDS = 1.0
"""Between two starts of a worker that dies at once."""

logger = logging.getLogger(__name__)


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    ready: int
    """End of a pipe that holds `READY` or `EMPTY` once the worker accepts."""
    started_at: float = field(default_factory=monotonic)


def supervise(settings: ServiceSettings) -> int:
    """Run AISLE_WORKERS workers until SIGTERM or SIGINT; the exit code.

    Returns:
        0 when all ended well, 1 when one did not, or none could start.
    """
    host, port = settings.service_host, settings.service_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Held here for good: while one worker goes, what the kernel has accepted waits for the others.
    with (
        socket.create_server((host, port), family=family, backlog=BACKLOG) as listener,
        TemporaryDirectory(prefix="aisle-workers-") as folder,
    ):
        logger.info("%d workers answer on %s:%d.", settings.workers, host, port)
        return Supervisor(settings.workers, listener, Path(folder), drain_seconds=settings.drain_seconds).run()


class Supervisor:
    """Knows nothing of what its workers do but whether they live and accept."""

    def __init__(self, num_workers: int, listener: socket.socket, folder: Path, *, drain_seconds: float) -> None:
        self._num_workers = num_workers
        self._listener = listener
        self._folder = folder
        self._seconds_to_end = drain_seconds + SECONDS_TO_END
        self._numbers = count(1)
        self._workers: list[_Worker] = []
        self._stopping = Event()
        self._renewing = Event()

    def run(self) -> int:
        with self._signals():
            if self._all_started():
                while not self._stopping.wait(_LOOK_SECONDS):
                    self._mend()
                    if self._renewing.is_set():
                        self._renewing.clear()
                        self._renew()
            asked = self._stopping.is_set()
            return 0 if self._end(self._workers) and asked else 1

    def _all_started(self) -> bool:
        """Whether as many as there should be accept."""
        try:
            for _ in range(self._num_workers):
                self._workers.append(self._started())
        except OSError as error:
            logger.error("A worker could not be started: %s", error)
            return False
        return None not in [self._said(worker) for worker in self._workers]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def on(event: Event) -> "signal._HANDLER":
            def handle(_signal: int, _frame: FrameType | None) -> None:
                event.set()

            return handle

        events = {signal.SIGTERM: self._stopping, signal.SIGINT: self._stopping, signal.SIGHUP: self._renewing}
        before = {number: signal.signal(number, on(event)) for number, event in events.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _started(self, *, gently: bool = False) -> _Worker:
        """A new worker; `gently` while as many as there should be answer.

        Raises:
            OSError: this machine has no process, memory or file left for one.
        """
        ready, ready_here = os.pipe()
        number = next(self._numbers)
        command = self._command(number, ready_here, gently=gently)
        # A process group of its own: Ctrl-C reaches it through the supervisor alone, once. No session of its own: Linux may share cores out
        # by session first, and then a worker that begins at a lower priority would take as much from the others as any.
        try:
            process = subprocess.Popen(command, pass_fds=(self._listener.fileno(), ready_here), process_group=0)
        except OSError:
            os.close(ready)
            raise
        finally:
            os.close(ready_here)
        return _Worker(number, process, ready)

    def _command(self, number: int, ready: int, *, gently: bool) -> list[str]:
        return [
            sys.executable, "-m", "serving.workers", "--number", str(number), "--peers", str(self._folder),
            "--supervisor", str(os.getpid()),
            "--listen-fd", str(self._listener.fileno()), "--ready-fd", str(ready),
            *(["--gently"] if gently else []),
        ]  # fmt: skip

    def _said(self, worker: _Worker, *, meanwhile: Callable[[], None] = lambda: None) -> bytes | None:
        """`READY` or `EMPTY` once a worker accepts; None when it died, takes too long, or is no longer wanted."""
        until = monotonic() + SECONDS_TO_BE_READY
        while monotonic() < until and not self._stopping.is_set():
            if select.select([worker.ready], [], [], _LOOK_SECONDS)[0]:
                return os.read(worker.ready, 1) or None
            meanwhile()
        return None

    def _mend(self) -> None:
        """Start a worker for each that died; for one that cannot be started now, after a pause."""
        for place, worker in enumerate(self._workers):
            if self._stopping.is_set():
                return
            if worker.process.poll() is None or monotonic() < worker.started_at + _PAUSE_SECONDS:
                continue
            try:
                started = self._started()
            except OSError as error:
                logger.error("Worker %d ended and no other could be started yet: %s", worker.number, error)
                worker.started_at = monotonic()
                continue
            logger.error("Worker %d ended with code %d; another is started.", worker.number, worker.process.returncode)
            self._forget(worker)
            self._workers[place] = started

    def _renew(self) -> None:
        """Another worker for each, which accepts before the old one is told to stop: capacity never falls."""
        for place in range(self._num_workers):
            try:
                new = self._started(gently=True)
            except OSError as error:
                logger.error(
                    "No worker could be started; worker %d and those after it stay: %s",
                    self._workers[place].number,
                    error,
                )
                return
            # An old worker may answer from a release that a new one cannot open any more.
            said = self._said(new, meanwhile=self._mend)
            old = self._workers[place]  # as it is by now: it may have died meanwhile
            if said != READY:
                if not self._stopping.is_set():
                    logger.error(
                        "Worker %d did not become ready; worker %d and those after it stay.", new.number, old.number
                    )
                self._end([new])
                return
            self._workers[place] = new
            self._end([old], meanwhile=self._mend)
            logger.info("Worker %d took the place of worker %d.", new.number, old.number)

    def _end(self, workers: Sequence[_Worker], *, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Tell workers to stop, wait for them, kill those that do not; whether all ended well."""
        for worker in workers:
            worker.process.terminate()
        until = monotonic() + self._seconds_to_end
        for worker in workers:
            while worker.process.poll() is None and monotonic() < until:
                sleep(_END_SECONDS)
                meanwhile()
            if worker.process.poll() is None:
                logger.error("Worker %d did not stop within %g s and is killed.", worker.number, self._seconds_to_end)
                worker.process.kill()
                worker.process.wait()
            self._forget(worker)
        # By the signal itself: one that had not begun yet.
        return all(worker.process.returncode in (0, -signal.SIGTERM) for worker in workers)

    def _forget(self, worker: _Worker) -> None:
        os.close(worker.ready)
        (self._folder / f"{worker.number}.sock").unlink(missing_ok=True)
