"""Open-loop load: every request has its instant before the first one is sent, and its latency counts from that instant.

wrk, hey and ab are closed-loop: a slow server is asked less often, and the requests that would have waited are never measured (Tene's
"coordinated omission"). One process, plain sockets through asyncio, and a parser of just what both servers send: it must cost less than what it
measures. Connections are kept as a shop's back end keeps them: one that its server asks to close is closed, one that lay idle for long is not
used again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
from numpy.typing import NDArray

HEAD_END = b"\r\n\r\n"
SECONDS_IDLE = 20.0
"""After which a connection is not used again; servers keep theirs for longer than that."""
WAITS_AT_MOST = 10.0
"""Seconds an answer is waited for; one that takes longer counts as an error, and the run as not sustained."""


@dataclass
class Answers:
    """What came back, by request; NaN where nothing did."""

    planned_at: NDArray[np.float64]
    """Seconds after the start."""
    seconds: NDArray[np.float64]
    """From the planned instant to the last byte."""
    status: NDArray[np.int32]
    """0: no answer."""
    bodies: dict[int, bytes] = field(default_factory=dict)
    """Of the requests whose answers were asked for."""

    @property
    def ok(self) -> NDArray[np.bool_]:
        return self.status == 200

    def quantiles_ms(self, *shares: float) -> tuple[float, ...]:
        """Of the answers that are lists."""
        good = self.seconds[self.ok]
        return tuple((np.quantile(good, shares) * 1e3).tolist()) if len(good) else (float("inf"),) * len(shares)

    @property
    def lists_per_second(self) -> float:
        return float(self.ok.sum() / (self.planned_at[-1] if len(self.planned_at) else 1.0))


def poisson(rate: float, seconds: float, *, seed: int) -> NDArray[np.float64]:
    """Instants of arrivals that know nothing of each other."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1 / rate, max(int(rate * seconds), 1)))


def offered(
    port: int,
    requests: Sequence[bytes],
    planned_at: NDArray[np.float64],
    *,
    begun: float | None = None,
    connections: int = 64,
    keep: int = 0,
) -> Answers:
    """Send each request at its instant, over kept-alive connections; one more is opened when all are waiting.

    Args:
        requests: whole HTTP/1.1 requests, taken in turn.
        begun: the instant on the monotonic clock that `planned_at` counts from; that of the first connections when left out.
        connections: opened before the start.
        keep: the bodies of so many first answers are kept.
    """
    return asyncio.run(_Run(port, requests, planned_at, keep).run(connections, begun))


class _Run:
    def __init__(self, port: int, requests: Sequence[bytes], planned_at: NDArray[np.float64], keep: int) -> None:
        count = len(planned_at)
        self.requests, self.planned_at, self.keep = requests, planned_at, keep
        self.answers = Answers(planned_at, np.full(count, np.nan), np.zeros(count, np.int32))
        self.port = port
        self.idle: list[_Connection] = []
        self.under_way = 0
        self.all_over: asyncio.Event = asyncio.Event()
        self.all_sent = False
        self.begun = 0.0

    async def run(self, connections: int, begun: float | None) -> Answers:
        self.idle = [await self._connect() for _ in range(connections)]
        self.begun = monotonic() if begun is None else begun
        for number, planned in enumerate(self.planned_at.tolist()):
            while (wait := self.begun + planned - monotonic()) > 0:
                # The loop's timer wakes up to a millisecond late: the last stretch is spent looking at sockets only.
                await asyncio.sleep(wait - 0.0015 if wait > 0.002 else 0)
            self.under_way += 1
            connection = await self._free()
            if connection is not None:
                connection.ask(number, self.requests[number % len(self.requests)])
            else:
                self.under_way -= 1
        self.all_sent = True
        if self.under_way:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.all_over.wait(), WAITS_AT_MOST)
        for connection in self.idle:
            connection.transport.close()
        return self.answers

    async def _free(self) -> "_Connection | None":
        """The connection used last, or another one; None where nobody listens."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_lost and monotonic() - connection.since < SECONDS_IDLE:
                return connection
            connection.transport.close()
        try:
            return await self._connect()
        except OSError:
            return None

    async def _connect(self) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self), "127.0.0.1", self.port
        )
        return connection

    def over(self, connection: "_Connection", status: int, body: bytes, *, is_last: bool) -> None:
        number = connection.number
        self.answers.seconds[number] = monotonic() - self.begun - self.planned_at[number]
        self.answers.status[number] = status
        if number < self.keep:
            self.answers.bodies[number] = body
        if is_last:
            connection.transport.close()
        else:
            self.idle.append(connection)
        self.under_way -= 1
        if self.all_sent and not self.under_way:
            self.all_over.set()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._needed: int | None = None
        self._is_last = False
        self.number = -1
        self.since = monotonic()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, number: int, request: bytes) -> None:
        self.number, self._received, self._needed = number, b"", None
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._needed is None:
            end = self._received.find(HEAD_END)
            if end < 0:
                return
            head = self._received[:end].lower()
            self._needed = end + len(HEAD_END) + _content_length(head)
            self._is_last = b"\r\nconnection: close" in head
        if len(self._received) >= self._needed:
            received, self.since = self._received, monotonic()
            body = received[received.find(HEAD_END) + len(HEAD_END) :]
            self._run.over(self, int(received[9:12]), body, is_last=self._is_last)
            self.number = -1

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True
        if self.number >= 0:
            self._run.over(self, 0, b"", is_last=True)
            self.number = -1


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError(f"An answer must say its length. Received: {head!r}.")
