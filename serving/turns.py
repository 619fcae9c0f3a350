"""Lists are made one at a time, in the order they came; one that would wait too long is made at once, of what is popular, or refused.

Making a list is a millisecond of work for one core, so it is done on the loop itself: handing it to a thread and back took a tenth of that, and
two threads hold each other up for Python's switch interval. After each list the loop looks at its sockets again, so probes and refusals
wait for one list at most; and the length of the line says how long the next list would wait.

A popular list costs a third of one that is made for somebody. So a burst, or a worker that begins on the same cores, refuses nobody; and where
there is too much to do for long, most of the time still goes into lists of the better kind, and a refusal is the cheapest answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from http import HTTPStatus
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import problem

LISTS = ("/api/v1/recommendations/", "/api/v1/rank")
"""Where the paths of lists begin."""
POPULAR_SHARE = 1.0
"""So many lists may be made out of turn for each that had one."""
MOST_POPULAR = 100
"""And so many in a burst: a tenth of a second of work."""
_SMOOTHING = 0.05
_FIRST_GUESS_SECONDS = 0.005

Result = TypeVar("Result")


class _Waiting(NamedTuple):
    work: Callable[[], Any]
    context: Context
    done: "asyncio.Future[Any]"


class Turns:
    """The line of lists on one loop, how long the next one would wait in it, and how many may be made out of turn."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._line: deque[_Waiting] = deque()
        self._seconds_each = _FIRST_GUESS_SECONDS
        self._last_began_at: float | None = None
        self._out_of_turn = float(MOST_POPULAR)

    @property
    def wait_seconds(self) -> float:
        """By how many are in line, and by how long it took of late from one turn to the next."""
        return len(self._line) * self._seconds_each

    def may_pass(self) -> bool:
        """Whether one more list may be made out of turn, which is then counted."""
        passes = self._out_of_turn >= 1
        self._out_of_turn -= passes
        return passes

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives when its turn has come."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._line.append(_Waiting(work, copy_context(), done))
        if len(self._line) == 1:
            loop.call_soon(self._take_turn, loop)
        return await done

    def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """One list; the next one after whatever else the loop has to do."""
        began_at, (work, context, done) = self._clock(), self._line[0]
        if self._last_began_at is not None:
            self._learn(began_at - self._last_began_at)
        if not done.cancelled():  # else whoever asked has gone
            try:
                done.set_result(context.run(work))
            except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
                done.set_exception(error)
            self._out_of_turn = min(self._out_of_turn + POPULAR_SHARE, MOST_POPULAR)
        self._line.popleft()
        if self._line:
            self._last_began_at = began_at
            loop.call_soon(self._take_turn, loop)
        else:
            self._last_began_at = None
            self._learn(self._clock() - began_at)

    def _learn(self, seconds: float) -> None:
        self._seconds_each += _SMOOTHING * (seconds - self._seconds_each)


class QueueLimit:
    """Lets no list wait longer than `longest_wait` seconds for its turn. One that would is made out of turn, which its `takes_turn` says, or refused where
    there were too many of those. What is no list, or waits elsewhere, takes no place in the line."""

    def __init__(self, app: ASGIApp, *, turns: Turns, longest_wait: float) -> None:
        self._app = app
        self._turns = turns
        self._longest_wait = longest_wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(LISTS):
            takes_turn = self._turns.wait_seconds <= self._longest_wait
            if not takes_turn and not self._turns.may_pass():
                await self._refused(scope, receive, send)
                return
            scope["state"]["takes_turn"] = takes_turn
        await self._app(scope, receive, send)

    async def _refused(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = problem(
            scope["state"]["request_id"], HTTPStatus.SERVICE_UNAVAILABLE, "overloaded",
            f"A list may wait {self._longest_wait * 1e3:g} ms for its turn. Received: one that would wait longer.",
            "Ask again after Retry-After seconds; more replicas carry more.",
        )  # fmt: skip
        refusal.headers["Retry-After"] = "1"
        await refusal(scope, receive, send)
