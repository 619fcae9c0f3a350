import asyncio
from contextvars import ContextVar

import pytest

from serving.turns import QueueLimit, Turns

HOMEPAGE = "/api/v1/recommendations/homepage"
WHO: ContextVar[str] = ContextVar("who")


async def taken(turns: Turns, name: str, done: list[str]) -> None:
    WHO.set(name)
    await turns.run(lambda: done.append(WHO.get()))


def test_lists_are_made_in_the_order_they_came_each_in_its_own_context():
    async def all_at_once() -> list[str]:
        turns, done = Turns(), []
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(taken(turns, f"r{number}", done))
        return done

    assert asyncio.run(all_at_once()) == [f"r{number}" for number in range(20)]


def test_between_two_lists_the_loop_does_what_else_there_is():
    async def scenario() -> list[str]:
        turns, done = Turns(), []

        async def probed() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                done.append("probe")

        lists = [turns.run(lambda number=number: done.append(f"list {number}")) for number in range(3)]
        await asyncio.gather(*lists, probed())
        return done

    done = asyncio.run(scenario())
    assert [what for what in done if what != "probe"] == ["list 0", "list 1", "list 2"]
    assert "probe" in done[done.index("list 0") : done.index("list 2")]


def test_a_list_that_fails_fails_its_caller_alone_and_one_whose_caller_has_gone_is_not_made():
    async def scenario() -> tuple[list[object], list[str]]:
        turns, done = Turns(), []
        gone = asyncio.create_task(turns.run(lambda: done.append("gone")))
        waiting = [turns.run(lambda: 1 / 0), turns.run(lambda: done.append("made"))]
        await asyncio.sleep(0)
        gone.cancel()
        return await asyncio.gather(*waiting, return_exceptions=True), done

    (failed, _), done = asyncio.run(scenario())
    assert isinstance(failed, ZeroDivisionError)
    assert done == ["made"]


class Line:
    """A queue limit of 40 ms before lists that each take as long as they are told to."""

    def __init__(self, *, seconds_each: float = 0.001) -> None:
        self.now = 100.0
        self.turns = Turns(clock=lambda: self.now)
        self.limit = QueueLimit(self._app, turns=self.turns, longest_wait=0.04)
        self.seconds_each = seconds_each
        self.statuses: list[int] = []

    async def _app(self, _scope, _receive, send) -> None:
        await self.turns.run(self._list)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def _list(self) -> None:
        self.now += self.seconds_each

    def ask(self, path: str = HOMEPAGE) -> asyncio.Task[None]:
        async def send(message) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])

        scope = {"type": "http", "path": path, "state": {"request_id": "r1"}}
        return asyncio.create_task(self.limit(scope, None, send))


@pytest.mark.parametrize(("seconds_each", "fit"), [(0.0021, 20), (0.019, 3), (0.5, 1)])
def test_as_many_wait_as_are_finished_in_time_and_one_always_may(seconds_each, fit):
    async def scenario() -> list[int]:
        line = Line(seconds_each=seconds_each)
        for _ in range(300):  # it learns how long a list takes
            await line.ask()
        line.statuses.clear()
        await asyncio.gather(*(line.ask() for _ in range(40)))
        at_once = line.statuses.copy()
        await line.ask()  # places are given back
        assert line.statuses[-1] == 200
        return at_once

    statuses = asyncio.run(scenario())
    assert statuses == [503] * (40 - fit) + [200] * fit


def test_what_is_no_list_never_waits_in_their_line():
    async def scenario() -> list[int]:
        line = Line(seconds_each=0.02)
        await asyncio.gather(*(line.ask() for _ in range(40)), *(line.ask("/healthz") for _ in range(40)))
        return line.statuses

    assert asyncio.run(scenario()).count(200) >= 40 + 1


def test_what_waits_elsewhere_takes_no_place_in_the_line():
    async def scenario() -> list[int]:
        line, forever = Line(), asyncio.Event()

        async def body_never_comes(_scope, _receive, _send) -> None:
            await forever.wait()

        stalled = QueueLimit(body_never_comes, turns=line.turns, longest_wait=0.04)
        scope = {"type": "http", "path": HOMEPAGE, "state": {"request_id": "r1"}}
        stuck = [asyncio.create_task(stalled(scope, None, None)) for _ in range(100)]
        await asyncio.sleep(0)
        await line.ask()
        forever.set()
        await asyncio.gather(*stuck)
        return line.statuses

    assert asyncio.run(scenario()) == [200]
