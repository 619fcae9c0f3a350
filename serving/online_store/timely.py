"""Connections to Redis that wait as long as whoever asks has time: for connecting, the handshake and all replies together."""

from threading import local
from time import monotonic
from typing import Any

_SHORTEST_SECONDS = 0.001
"""To a socket 0 means something else."""


class Patience(local):
    """Until when the thread that asks will wait."""

    _until = 0.0

    def begin(self, seconds: float) -> None:
        self._until = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return max(self._until - monotonic(), _SHORTEST_SECONDS)


def timely(kind: type[Any], patience: Patience) -> type[Any]:
    """A kind of connection (TCP, TLS, Unix socket) that keeps to a patience."""

    class Timely(kind):  # type: ignore[misc]  # redis-py gives each reply a time of its own
        def connect(self) -> None:
            self.socket_connect_timeout = self.socket_timeout = patience.left
            super().connect()

        def read_response(self, *arguments: Any, **options: Any) -> Any:
            self._sock.settimeout(patience.left)
            return super().read_response(*arguments, **options)

    return Timely
