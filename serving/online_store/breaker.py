"""Stops asking a server that does not answer, and lets one request at a time find out whether it does again."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TypeVar

from ml.contract.errors import OnlineStoreError

FAILURES = 3
SECONDS_OPEN = 0.5
"""With the half second between two looks of `Visits` a server that is back is used within two."""

Result = TypeVar("Result")


class Breaker:
    """pybreaker's states around calls that run side by side: by itself it would hold its lock while a call waits for the network."""

    def __init__(
        self, counted: type[Exception], *, failures: int = FAILURES, seconds_open: float = SECONDS_OPEN
    ) -> None:
        from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError

        self._counted = counted
        self._open_error = CircuitBreakerError
        self._closed = STATE_CLOSED
        self._breaker = CircuitBreaker(fail_max=failures, reset_timeout=seconds_open)
        self._trying = Lock()

    @property
    def is_closed(self) -> bool:
        """All is well."""
        return self._breaker.current_state == self._closed

    def through(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises.

        Raises:
            OnlineStoreError: it failed too often just now, so it was not called.
        """
        if not self.is_closed:
            return self._attempt(work)
        try:
            result = work()
        except self._counted as error:
            self._count(error)
            raise
        if self._breaker.fail_counter:
            with suppress(
                self._open_error
            ):  # others' calls failed while this one was on its way: it answered all the same
                self._breaker.call(lambda: None)  # in a row is what is counted
        return result

    def _attempt(self, work: Callable[[], Result]) -> Result:
        if not self._trying.acquire(blocking=False):
            raise self._refusal()
        try:
            return self._breaker.call(work)
        except self._open_error as error:
            raise self._refusal() from error.__cause__
        finally:
            self._trying.release()

    def _count(self, error: Exception) -> None:
        def fail() -> None:
            raise error

        try:
            self._breaker.call(fail)
        except (self._counted, self._open_error):
            return

    def _refusal(self) -> OnlineStoreError:
        return OnlineStoreError(
            "The store of visits must answer. Received: too many failures just now; it is asked again in a moment."
        )
