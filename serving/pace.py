"""Work beside requests: in small pieces, with rests between them, so that whoever waits for a list hardly notices."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, get_native_id
from time import perf_counter
from typing import TypeVar

from ml.contract.errors import ReleaseError
from ml.contract.manifest import FileEntry, file_entry

RESTS = 3.0
"""Seconds of rest for each second of work: a quarter of a core, and of the interpreter."""
LEAST_REST_SECONDS = 0.002
"""Below it work goes on: a sleep of microseconds is mostly overhead."""
_LOWER_PRIORITY = 5
"""A third of the share of others, so it takes a quarter of a core that is asked for by all; at the lowest it might never end."""

Result = TypeVar("Result")


class Pace:
    """Of one thread."""

    def __init__(self, stopping: Event) -> None:
        self._stopping = stopping
        self._since: float | None = None

    def begin(self, *, hurry: bool) -> None:
        """A new piece of work; in a hurry it is done without rests, as when nobody is served yet."""
        self._since = None if hurry else perf_counter()

    def rest(self) -> None:
        """Wait in proportion to the work since the last rest.

        Raises:
            ReleaseError: the service stops; what was begun is not to be finished.
        """
        self._pause()
        if self._stopping.is_set():
            raise ReleaseError("The service must stay to open a release. Received: it is told to stop.")

    @contextmanager
    def at_every_call(self) -> Iterator[None]:
        """Rest also wherever this thread calls a function or comes back from one.

        A list asks for the interpreter some dozens of times, after each call that let go of it, and waits for it each time while this
        thread runs Python: for 20 ms in all beside the 30 ms that reading a ranker takes in one piece. In pieces of a millisecond, for one.
        """
        if self._since is None:
            yield
            return
        sys.setprofile(lambda _frame, _event, _argument: self._pause())  # of this thread alone
        try:
            yield
        finally:
            sys.setprofile(None)

    def _pause(self) -> None:
        if self._since is None:
            return
        wait = (perf_counter() - self._since) * RESTS
        if wait >= LEAST_REST_SECONDS:
            self._stopping.wait(wait)
            self._since = perf_counter()


def behind_others(work: Callable[[], Result]) -> Result:
    """What `work` gives, done at a lower priority while the caller waits: for a process that nobody waits for yet.

    In a thread that ends with it, as a priority that was lowered cannot be raised again. Threads that `work` starts keep it for good.
    """
    with ThreadPoolExecutor(1, initializer=_lower_priority) as pool:
        return pool.submit(work).result()


def _lower_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, get_native_id(), _LOWER_PRIORITY)  # on Linux of this thread alone


class Hashes:
    """Remembers the hash of every file it read, while the file system says that nobody touched it: a rollback reads no file twice."""

    def __init__(self, rest: Callable[[], None]) -> None:
        self._rest = rest
        self._known: dict[Path, tuple[tuple[int, ...], FileEntry]] = {}

    def entry_of(self, path: Path) -> FileEntry:
        status = path.stat()
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if path not in self._known or self._known[path][0] != stamp:
            self._known[path] = stamp, file_entry(path, rest=self._rest)
        return self._known[path][1]

    def forget(self) -> None:
        self._known.clear()

    def forget_missing(self) -> None:
        """Of releases that were removed."""
        self._known = {path: known for path, known in self._known.items() if path.exists()}
