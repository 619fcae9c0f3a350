"""Connections to Redis that wait as long as whoever asks has time: for its name, connecting, the handshake and all replies together."""

import socket
from ipaddress import ip_address
from threading import Event, Lock, Thread, local
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


class Names:
    """Looks names up in a thread of its own, one at a time: what looks them up cannot be told to stop."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: Event | None = None

    def look_up(self, host: str, port: int, *, seconds: float) -> None:
        """Return once a name can be looked up, so that whoever does it next is answered at once.

        Raises:
            TimeoutError: nobody answered in time.
        """
        if _is_address(host):
            return
        with self._lock:
            if self._under_way is None:
                self._under_way = Event()
                Thread(target=self._look, args=(host, port, self._under_way), name="redis-name", daemon=True).start()
            under_way = self._under_way
        if not under_way.wait(seconds):
            raise TimeoutError(f"Timeout looking up {host}")

    def _look(self, host: str, port: int, done: Event) -> None:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            pass  # who connects will hear of it
        finally:
            with self._lock:
                self._under_way = None
            done.set()


def timely(kind: type[Any], patience: Patience) -> type[Any]:
    """A kind of connection (TCP, TLS, Unix socket) that keeps to a patience."""
    names = Names()

    class Timely(kind):  # type: ignore[misc]  # redis-py gives each reply a time of its own
        def connect(self) -> None:
            self.socket_connect_timeout = self.socket_timeout = patience.left
            super().connect()

        def _connect(self) -> Any:
            if hasattr(self, "port"):  # not a Unix socket
                names.look_up(self.host, self.port, seconds=patience.left)
            self.socket_connect_timeout = self.socket_timeout = patience.left
            return super()._connect()

        def read_response(self, *arguments: Any, **options: Any) -> Any:
            self._sock.settimeout(patience.left)
            return super().read_response(*arguments, **options)

    return Timely


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
