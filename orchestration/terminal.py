"""Where a command speaks to a person."""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TextIO

_ERASE_LINE = "\r\x1b[K"


@dataclass(frozen=True)
class Terminal:
    """Whole lines, from any thread. A hint is a line that the next one replaces; where lines stay, it is not said."""

    stream: TextIO
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    @contextmanager
    def of_process(cls) -> "Iterator[Terminal]":
        """Standard output, also while everybody else's goes elsewhere."""
        with os.fdopen(os.dup(sys.stdout.fileno()), "w") as stream:
            yield cls(stream)

    def say(self, line: str = "") -> None:
        self._write(f"{_ERASE_LINE if self.stream.isatty() else ''}{line}\n")

    def hint(self, text: str) -> None:
        if self.stream.isatty():
            self._write(f"{_ERASE_LINE}   ...     {text[:100]}")

    def _write(self, text: str) -> None:
        with self._lock:
            self.stream.write(text)
            self.stream.flush()


@contextmanager
def output_kept_in(log: Path) -> Iterator[None]:
    """Send what this process, its libraries' native code and its children print into a file, until the end of the block.

    TensorFlow, dbt and MLflow together print some hundred lines a run, some of them below Python.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # DuckDB's bindings report forty lines of "leaks" when the interpreter ends, after everything else was said.
    atexit.register(_send_to, log, 2)
    kept = {number: os.dup(number) for number in (1, 2)}
    with log.open("a") as file:
        try:
            for number in kept:
                os.dup2(file.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, before in kept.items():
                os.dup2(before, number)
                os.close(before)


def _send_to(log: Path, number: int) -> None:
    with log.open("a") as file:
        os.dup2(file.fileno(), number)
