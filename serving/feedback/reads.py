"""Reads of the log on behalf of a request: few at once and never for long, so that a database that hangs takes no list with it."""

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from ml.contract.errors import FeedbackError

AT_ONCE = 4
SECONDS = 20.0

Result = TypeVar("Result")


class Reads:
    """Threads of their own, counted until they truly end: one that waits for a dead server stays counted."""

    def __init__(self, *, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._at_once = at_once
        self._seconds = seconds
        self._limiter = CapacityLimiter(at_once)
        self._running = 0
        self._lock = Lock()

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises.

        Raises:
            FeedbackError: too many reads are running, or this one took too long.
        """
        with self._lock:
            if self._running >= self._at_once:
                raise FeedbackError(
                    f"The feedback log answers {self._at_once} questions at once. Received: one more. Ask again in a moment."
                )
            self._running += 1
        try:
            async with asyncio.timeout(self._seconds):
                return await to_thread.run_sync(self._counted, work, abandon_on_cancel=True, limiter=self._limiter)
        except TimeoutError as error:
            raise FeedbackError(
                f"The feedback log must answer within {self._seconds:g} s. Received: nothing. Ask for less, or later."
            ) from error

    def _counted(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        finally:
            with self._lock:
                self._running -= 1
