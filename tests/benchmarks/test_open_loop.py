import asyncio
from contextlib import closing
from threading import Event, Thread

import numpy as np
import pytest

from benchmarks import open_loop
from benchmarks.load_process import Load, Plan
from benchmarks.open_loop import offered, poisson

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
STALL_S = 0.4


class Stalling:
    """An HTTP server that does nothing for a while once it was asked for the first time, and is quick then."""

    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

    def __init__(self) -> None:
        self.connections = 0
        self._ready = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._stall: asyncio.Task[None] | None = None
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer):
            while b"\r\n\r\n" in await reader.read(1000):
                self._stall = self._stall or asyncio.create_task(asyncio.sleep(STALL_S))
                await asyncio.shield(self._stall)
                writer.write(self.head)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


@pytest.fixture
def server():
    stalling = Stalling()
    yield stalling
    stalling.stop()


def test_requests_that_a_stalled_server_kept_waiting_count_from_when_they_should_have_been_sent(server):
    planned = np.arange(40) * 0.005
    answers = offered(server.port, [REQUEST], planned, connections=2, keep=1)
    assert answers.ok.all()
    assert answers.bodies == {0: b"{}"}
    # A closed loop would have sent two, and found 38 quick ones after the stall.
    assert (answers.seconds >= STALL_S - planned - 0.02).all()


def test_a_connection_its_server_wants_closed_is_not_used_again(server):
    server.head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    answers = offered(server.port, [REQUEST], np.arange(10) * 0.1, connections=1)
    assert answers.ok.all()
    assert server.connections == 10


def test_where_nobody_listens_any_more_a_request_has_failed(server, monkeypatch):
    monkeypatch.setattr(open_loop, "SECONDS_IDLE", 0.0)

    async def refused(_run):
        raise ConnectionRefusedError

    first = open_loop._Run._connect
    monkeypatch.setattr(open_loop._Run, "_connect", lambda run: refused(run) if run.begun else first(run))
    assert offered(server.port, [REQUEST], np.array([0.0, 0.01]), connections=1).status.tolist() == [0, 0]


def test_a_plan_is_carried_out_by_another_process_at_its_instants(server, tmp_path):
    plan = Plan.poisson(f"http://127.0.0.1:{server.port}", "key", ["/a", "/b"], rate=50, seconds=1)
    results = Load(plan, tmp_path).results()
    assert [(each.path, each.start) for each in results] == list(zip(plan.paths, plan.starts, strict=True))
    assert {(each.status, each.body) for each in results} == {(200, "{}")}
    assert results[0].seconds >= STALL_S - 0.02


def test_arrivals_come_at_their_rate_and_do_not_know_of_each_other():
    gaps = np.diff(poisson(100, 100, seed=1))
    assert gaps.mean() == pytest.approx(1 / 100, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of an exponential
