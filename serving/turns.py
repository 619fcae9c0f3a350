"""Lists are made one at a time, in the order they came; one that would wait too long is refused before anything of it is read.

Making a list is work for one core. Several threads would only share that core, and hold each other up for Python's 5 ms at a time. One thread
gives every list its whole speed, leaves the loop to probes and refusals, and the length of its queue says how long the next list would wait.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from http import HTTPStatus
from time import monotonic
from typing import TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import problem

LISTS = ("/api/v1/recommendations/", "/api/v1/rank")
"""Where the paths of lists begin."""
_SMOOTHING = 0.05
_FIRST_GUESS_SECONDS = 0.005

Result = TypeVar("Result")


class Turns:
    """The thread that makes lists, and how long the next list would wait for it."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lists")
        self._clock = clock
        self._in_line = 0
        self._seconds_each = _FIRST_GUESS_SECONDS

    @property
    def wait_seconds(self) -> float:
        """By how many are in line, and by how long lists took of late."""
        return self._in_line * self._seconds_each

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives when its turn has come."""
        self._in_line += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, self._timed, work)
        finally:
            self._in_line -= 1

    def stop(self) -> None:
        self._thread.shutdown()

    def _timed(self, work: Callable[[], Result]) -> Result:
        began_at = self._clock()
        try:
            return work()
        finally:
            self._seconds_each += _SMOOTHING * (self._clock() - began_at - self._seconds_each)


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
