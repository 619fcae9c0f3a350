"""Lists are made one at a time, in the order they came; one that would wait too long is refused before anything of it is read.

Making a list is a millisecond of work for one core, so it is done on the loop itself: handing it to a thread and back took a tenth of that, and
two threads hold each other up for Python's switch interval. After each list the loop looks at its sockets again, so probes and refusals
wait for one list at most; and the length of the line says how long the next list would wait.
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
_SMOOTHING = 0.05
_FIRST_GUESS_SECONDS = 0.005

Result = TypeVar("Result")


class _Waiting(NamedTuple):
    work: Callable[[], Any]
    context: Context
    done: "asyncio.Future[Any]"


class Turns:
    """The line of lists on one loop, and how long the next one would wait in it."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._line: deque[_Waiting] = deque()
        self._seconds_each = _FIRST_GUESS_SECONDS

    @property
    def wait_seconds(self) -> float:
        """By how many are in line, and by how long lists took of late."""
        return len(self._line) * self._seconds_each

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
        if not done.cancelled():  # else whoever asked has gone
            try:
                done.set_result(context.run(work))
            except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for it
                done.set_exception(error)
            self._seconds_each += _SMOOTHING * (self._clock() - began_at - self._seconds_each)
        self._line.popleft()
        if self._line:
            loop.call_soon(self._take_turn, loop)


class QueueLimit:
    """Refuses a list that would wait longer than `longest_wait` seconds for its turn. What is no list, or came to none, counts for nothing."""

    def __init__(self, app: ASGIApp, *, turns: Turns, longest_wait: float) -> None:
        self._app = app
        self._turns = turns
        self._longest_wait = longest_wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_list = scope["type"] == "http" and scope["path"].startswith(LISTS)
        if not is_list or self._turns.wait_seconds <= self._longest_wait:
            await self._app(scope, receive, send)
            return
        refusal = problem(
            scope["state"]["request_id"], HTTPStatus.SERVICE_UNAVAILABLE, "overloaded",
            f"A list may wait {self._longest_wait * 1e3:g} ms for its turn. Received: one that would wait longer.",
            "Ask again after Retry-After seconds; more replicas carry more.",
        )  # fmt: skip
        refusal.headers["Retry-After"] = "1"
        await refusal(scope, receive, send)
