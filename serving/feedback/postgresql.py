"""Connections to PostgreSQL that give up on a server that says nothing: frozen, or behind a line that broke without a word.

The server ends a long statement itself, but only while it runs; the kernel of a frozen one still confirms what it is sent, so no
option of TCP notices.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self, TypeVar

import psycopg
from sqlalchemy import Connection

STATEMENT_SECONDS = 0.7
"""The server's own limit, so that it says no before the caller gives up. A commit of a busy second takes tens of milliseconds."""
SILENT_SECONDS = 1.0
"""What was under way on a broken line when the server came back is given up then, and the next one has a second to be done within two."""

Result = TypeVar("Result")


class ImpatientConnection(psycopg.Connection[Any]):
    """Closed when one operation, or connecting, takes longer than `seconds`."""

    seconds = SILENT_SECONDS

    def wait(self, gen: Generator[Any, Any, Result], *arguments: Any, **options: Any) -> Result:
        try:
            return super().wait(_limited(gen, self.seconds), *arguments, **options)
        except _SilenceError:
            self.close()  # in the middle of an answer: of no use to anybody
            raise

    @classmethod
    def _connect_gen(cls, conninfo: str = "", **options: Any) -> Generator[Any, Any, Self]:
        """psycopg's own limit of connecting is two seconds or more."""
        return _limited(super()._connect_gen(conninfo, **options), cls.seconds)


@contextmanager
def patient(connection: Connection, seconds: float) -> Iterator[None]:
    """Statements of this transaction may take longer."""
    milliseconds = int(seconds * 1000)
    silent = connection.connection.driver_connection
    assert isinstance(silent, ImpatientConnection)
    connection.exec_driver_sql(f"set local statement_timeout = {milliseconds}; set local lock_timeout = {milliseconds}")
    silent.seconds = seconds + SILENT_SECONDS - STATEMENT_SECONDS
    try:
        yield
    finally:
        silent.seconds = SILENT_SECONDS


class _SilenceError(psycopg.OperationalError):
    """The server said nothing."""


def _limited(steps: Generator[Any, Any, Result], seconds: float) -> Generator[Any, Any, Result]:
    """The same steps of psycopg, until they take too long. psycopg comes by ten times a second though nothing has happened."""
    give_up_at = monotonic() + seconds
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready and monotonic() >= give_up_at:
                steps.close()
                raise _SilenceError(f"The server must answer within {seconds:g} s. Received: nothing.")
            wanted = steps.send(ready)
    except StopIteration as last:
        result: Result = last.value
        return result
