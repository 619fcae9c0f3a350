"""Threads that ask a store elsewhere, and nothing else: no explanation holds them, and nobody waits for one longer than there is time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from ml.contract.errors import OnlineStoreError

AT_ONCE = 8
"""An answer takes a millisecond, or the store's limit of 50: so many carry more lists than one process makes."""
GRACE_SECONDS = 0.005
"""A store that keeps to its time says itself why it has no answer."""

Result = TypeVar("Result")


class Askers:
    """Of one process."""

    def __init__(self, *, at_once: int = AT_ONCE) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="online-store")

    async def ask(self, question: Callable[[], Result], *, within: float) -> Result:
        """The answer.

        Raises:
            OnlineStoreError: no thread was free, or the store said nothing, for so many seconds. A question under way is left to itself.
        """
        asked = asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, question)
        try:
            async with asyncio.timeout(within + GRACE_SECONDS):
                return await asked
        except TimeoutError as error:
            raise OnlineStoreError(
                f"The store of visits must answer within {within * 1000:.0f} ms. Received: nothing."
            ) from error

    def stop(self) -> None:
        """Without waiting for what hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
