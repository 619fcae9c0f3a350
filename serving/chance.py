"""The system's own chance, asked for many requests at once: each call of the kernel takes longer than what it is for."""

import os
from threading import Lock

AT_ONCE = 4096


class Chance:
    """Bytes nobody can foresee and nobody gets twice, a forked process included."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bytes, self._used = b"", 0
        os.register_at_fork(after_in_child=self._forget)

    def bytes(self, count: int) -> bytes:
        """`count` of them, at most `AT_ONCE`."""
        with self._lock:
            if self._used + count > len(self._bytes):
                self._bytes, self._used = os.urandom(AT_ONCE), 0
            self._used += count
            return self._bytes[self._used - count : self._used]

    def number(self) -> int:
        """From 0 on, of 63 bits."""
        return int.from_bytes(self.bytes(8)) >> 1

    def name(self) -> str:
        """16 hexadecimal digits."""
        return self.bytes(8).hex()

    def _forget(self) -> None:
        """The parent hands out what was here; and a lock that another thread held would stay shut."""
        self._lock, self._bytes, self._used = Lock(), b"", 0


CHANCE = Chance()
