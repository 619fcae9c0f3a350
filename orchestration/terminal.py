"""Where a command speaks to a person."""

from dataclasses import dataclass, field
from threading import Lock
from typing import TextIO

_ERASE_LINE = "\r\x1b[K"


@dataclass(frozen=True)
class Terminal:
    """Whole lines, from any thread. A hint is a line that the next one replaces; where lines stay, it is not said."""

    stream: TextIO
    _lock: Lock = field(default_factory=Lock)

    def say(self, line: str = "") -> None:
        self._write(f"{_ERASE_LINE if self.stream.isatty() else ''}{line}\n")

    def hint(self, text: str) -> None:
        if self.stream.isatty():
            self._write(f"{_ERASE_LINE}   ...     {text[:100]}")

    def _write(self, text: str) -> None:
        with self._lock:
            self.stream.write(text)
            self.stream.flush()
