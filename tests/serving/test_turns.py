import asyncio
from contextvars import ContextVar
from threading import Event

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
        turns.stop()
        return done

    assert asyncio.run(all_at_once()) == [f"r{number}" for number in range(20)]


def test_the_loop_is_free_while_a_list_is_made_and_the_next_one_waits():
    async def one_that_lasts() -> tuple[bool, list[str]]:
        turns, may_end, done = Turns(), Event(), []
        first = asyncio.create_task(turns.run(lambda: may_end.wait(20) and done.append("first")))
        second = asyncio.create_task(turns.run(lambda: done.append("second")))
        await asyncio.sleep(0.05)  # a loop that were not free would never come back to end the first
        was_waiting = not second.done()
        may_end.set()
        await asyncio.gather(first, second)
        turns.stop()
        return was_waiting, done

    assert asyncio.run(one_that_lasts()) == (True, ["first", "second"])


class Line:
    """A queue limit of 40 ms before lists that end when they are told to; time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.turns = Turns(clock=lambda: self.now)
        self.limit = QueueLimit(self._app, turns=self.turns, longest_wait=0.04)
        self.waiting: list[tuple[Event, Event]] = []
        self.statuses: list[int] = []

    async def _app(self, _scope, _receive, send) -> None:
        began, ends = Event(), Event()
        self.waiting.append((began, ends))
        await self.turns.run(lambda: began.set() or ends.wait(20))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(self, path: str = HOMEPAGE) -> asyncio.Task[None]:
        async def send(message) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])

        scope = {"type": "http", "path": path, "state": {"request_id": "r1"}}
        task = asyncio.create_task(self.limit(scope, None, send))
        await asyncio.sleep(0)
        return task

    async def finish(self, *, after: float) -> None:
        began, ends = self.waiting.pop(0)
        finished = len(self.statuses)
        while not began.is_set():
            await asyncio.sleep(0)
        self.now += after
        ends.set()
        while len(self.statuses) == finished:
            await asyncio.sleep(0)


@pytest.mark.parametrize(("seconds_each", "fit"), [(0.0021, 20), (0.019, 3), (0.5, 1)])
def test_as_many_wait_as_are_finished_in_time_and_one_always_may(seconds_each, fit):
    async def scenario() -> list[int]:
        line, tasks = Line(), []
        for _ in range(300):  # it learns how long a list takes
            tasks.append(await line.ask())
            await line.finish(after=seconds_each)
        line.statuses.clear()
        tasks += [await line.ask() for _ in range(40)]
        refused = line.statuses.copy()
        assert len(line.waiting) == fit
        while line.waiting:
            await line.finish(after=seconds_each)
        tasks.append(await line.ask())  # places are given back
        assert len(line.waiting) == 1
        await line.finish(after=seconds_each)
        await asyncio.gather(*tasks)
        line.turns.stop()
        return refused

    assert asyncio.run(scenario()) == [503] * (40 - fit)


def test_what_is_no_list_never_waits_in_their_line():
    async def scenario() -> int:
        line = Line()
        tasks = [await line.ask() for _ in range(40)] + [await line.ask("/healthz") for _ in range(40)]
        passed = len(line.waiting)
        while line.waiting:
            await line.finish(after=0.001)
        await asyncio.gather(*tasks)
        line.turns.stop()
        return passed

    assert asyncio.run(scenario()) >= 40 + 1


def test_what_waits_elsewhere_takes_no_place_in_the_line():
    async def scenario() -> int:
        line = Line()
        forever = asyncio.Event()

        async def body_never_comes(_scope, _receive, _send) -> None:
            await forever.wait()

        stalled = QueueLimit(body_never_comes, turns=line.turns, longest_wait=0.04)
        scope = {"type": "http", "path": HOMEPAGE, "state": {"request_id": "r1"}}
        stuck = [asyncio.create_task(stalled(scope, None, None)) for _ in range(100)]
        await asyncio.sleep(0)
        list_ = await line.ask()
        passed = len(line.waiting)
        await line.finish(after=0.001)
        forever.set()
        await asyncio.gather(list_, *stuck)
        line.turns.stop()
        return passed

    assert asyncio.run(scenario()) == 1
