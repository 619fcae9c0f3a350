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
    """The thread that makes lists."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lists")

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives when its turn has come."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, work)

    def stop(self) -> None:
        self._thread.shutdown()


class QueueLimit:
    """Refuses a list that would wait longer than `longest_wait` seconds, judged by how fast lists are being finished."""

    def __init__(self, app: ASGIApp, *, longest_wait: float, clock: Callable[[], float] = monotonic) -> None:
        self._app = app
        self._longest_wait = longest_wait
        self._clock = clock
        self._inside = 0
        self._seconds_each = _FIRST_GUESS_SECONDS
        self._finished_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(LISTS):
            await self._app(scope, receive, send)
            return
        if self._inside * self._seconds_each > self._longest_wait:
            refusal = problem(
                scope["state"]["request_id"], HTTPStatus.SERVICE_UNAVAILABLE, "overloaded",
                f"A list may wait {self._longest_wait * 1e3:g} ms for its turn. Received: one that would wait longer.",
                "Ask again after Retry-After seconds; more replicas carry more.",
            )  # fmt: skip
            refusal.headers["Retry-After"] = "1"
            await refusal(scope, receive, send)
            return
        if not self._inside:
            self._finished_at = self._clock()
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
            now = self._clock()
            self._seconds_each += _SMOOTHING * (now - self._finished_at - self._seconds_each)
            self._finished_at = now
