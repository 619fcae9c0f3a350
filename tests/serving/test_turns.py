import asyncio
from collections import Counter
from contextvars import ContextVar

import pytest

from serving.turns import MOST_POPULAR, POPULAR_SHARE, QueueLimit, Turns

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
        self.made: list[str] = []

    async def _app(self, scope, _receive, _send) -> None:
        if not scope["state"].get("takes_turn", True):
            self.made.append("popular")
            return
        await self.turns.run(self._list)
        self.made.append("in turn")

    def _list(self) -> None:
        self.now += self.seconds_each

    async def ask(self, path: str = HOMEPAGE) -> None:
        async def send(message) -> None:
            if message["type"] == "http.response.start":
                self.made.append(str(message["status"]))

        await self.limit({"type": "http", "path": path, "state": {"request_id": "r1"}}, None, send)

    async def ask_at_once(self, count: int) -> Counter[str]:
        """What was made of so many that came together."""
        self.made.clear()
        await asyncio.gather(*(self.ask() for _ in range(count)))
        return Counter(self.made)


@pytest.mark.parametrize(("seconds_each", "fit"), [(0.0021, 20), (0.019, 3), (0.5, 1)])
def test_as_many_wait_as_are_finished_in_time_the_next_are_popular_and_the_rest_refused(seconds_each, fit):
    async def scenario() -> list[Counter[str]]:
        line = Line(seconds_each=seconds_each)
        for _ in range(300):  # it learns how long a list takes
            await line.ask()
        burst = await line.ask_at_once(fit + MOST_POPULAR + 7)
        return [burst, await line.ask_at_once(fit + 3 * fit)]

    burst, after = asyncio.run(scenario())
    assert burst == {"in turn": fit, "popular": MOST_POPULAR, "503": 7}
    assert after == {"in turn": fit, "popular": fit * POPULAR_SHARE, "503": 3 * fit - fit * POPULAR_SHARE}


def test_what_else_the_loop_does_between_two_lists_is_part_of_the_wait():
    async def scenario() -> int:
        line = Line(seconds_each=0.001)

        async def beside() -> None:
            while True:
                line.now += 0.003
                await asyncio.sleep(0)

        busy = asyncio.create_task(beside())
        for _ in range(40):
            await line.ask_at_once(10)
        made = await line.ask_at_once(40)
        busy.cancel()
        return made["in turn"]

    between_two = 0.001 + 0.003
    assert asyncio.run(scenario()) == pytest.approx(0.04 / between_two, abs=2)


def test_what_is_no_list_never_waits_in_their_line():
    async def scenario() -> list[str]:
        line = Line(seconds_each=0.02)
        lists, probes = (line.ask() for _ in range(300)), (line.ask("/healthz") for _ in range(40))
        await asyncio.gather(*lists, *probes)
        return line.made

    made = asyncio.run(scenario())
    assert made.count("503") > 0
    assert made.count("in turn") >= 40 + 1


def test_what_waits_elsewhere_takes_no_place_in_the_line():
    async def scenario() -> list[str]:
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
        return line.made

    assert asyncio.run(scenario()) == ["in turn"]
