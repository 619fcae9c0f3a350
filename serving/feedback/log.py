"""The feedback log as the service sees it."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from ml.contract.errors import FeedbackError, PlatformError
from ml.contract.events import EventType
from serving.feedback.engine import POOL_SIZE, allowed_seconds, engine_of
from serving.feedback.migrate import check, migrate
from serving.feedback.records import Interaction, ShownList
from serving.feedback.schema import interactions, requests
from serving.feedback.writer import Backlog, GroupWriter

PAGE = 5_000
READERS = POOL_SIZE - 1
"""One connection is the writer's."""
_SECONDS_TO_BEGIN_READING = 0.25
_SECONDS_TO_FLUSH = 10.0
_QUESTION_SECONDS = 15.0

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class FeedbackLog:
    """Takes events and lists, and gives them back. Open it once per process; close it to write what waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = BoundedSemaphore(READERS)
        self._writer = GroupWriter(engine)

    @classmethod
    def open(cls, url: str | None, *, default: Path) -> Self:
        """The log of a database, its tables brought up to date (SQLite) or checked (PostgreSQL).

        A PostgreSQL server that is away does not keep the service from starting: lists need no log.

        Raises:
            PlatformError: the tables are not this version's, or a SQLite file cannot be written.
        """
        engine = engine_of(url, default=default)
        try:
            _made_ready(engine)
        except PlatformError:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        if not self._writer.close(seconds=_SECONDS_TO_FLUSH):
            logger.warning("The feedback log did not take what waited within %g s.", _SECONDS_TO_FLUSH)
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def dropped_lists(self) -> int:
        """Lists that were shown and not written down, since this process began."""
        return self._writer.dropped_lists

    @property
    def backlog(self) -> Backlog:
        """What waits, and how often the database refused."""
        return self._writer.backlog

    def add(self, events: Sequence[Interaction]) -> Future[list[bool]]:
        """Write events down; see `GroupWriter.submit`."""
        return self._writer.submit(events)

    def shown(self, shown: ShownList) -> None:
        """Write a list down soon. Never waits, never fails: what does not fit is dropped and counted."""
        self._writer.offer(shown)

    def trace_of(self, request_id: str) -> dict[str, Any] | None:
        """The trace of a list; None when no such list was written down.

        Raises:
            FeedbackError: the database does not answer.
        """
        waiting = self._writer.waiting(request_id)
        if waiting is not None:
            return dict(json.loads(waiting.trace()))
        with self.reading() as connection:
            found = connection.execute(select(requests.c.trace).where(requests.c.request_id == request_id)).scalar()
        trace: dict[str, Any] | None = None if found is None else json.loads(found)
        return trace

    def events_known_since(self, known_at_us: int) -> Iterator[list[Interaction]]:
        """Every event received since an instant, oldest first, in pieces.

        Raises:
            FeedbackError: the database does not answer.
        """
        after = (known_at_us, 0)
        table = interactions.c
        order = (table.received_at_us, table.id)
        while True:
            later = (order[0] > after[0]) | ((order[0] == after[0]) & (order[1] > after[1]))
            page = select(interactions).where(order[0] >= after[0], later).order_by(*order).limit(PAGE)
            with self.reading() as connection:
                rows = connection.execute(page).mappings().all()
            if rows:
                yield [_interaction(row) for row in rows]
            if len(rows) < PAGE:
                return
            after = (rows[-1]["received_at_us"], rows[-1]["id"])

    def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """The answer to a question that may take seconds.

        Raises:
            FeedbackError: the database does not answer.
        """
        with self.reading() as connection, allowed_seconds(connection, _QUESTION_SECONDS):
            return question(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read by, one of a few: a server that hangs takes no more threads with it than these.

        Raises:
            FeedbackError: the database does not answer.
        """
        if not self._readers.acquire(timeout=_SECONDS_TO_BEGIN_READING):
            raise FeedbackError(
                f"The feedback log answers {READERS} at once. Received: one more. Ask again in a moment."
            )
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise FeedbackError(
                "The feedback log must answer. Received: its database does not. Ask again in a moment."
            ) from error
        finally:
            self._readers.release()


def _made_ready(engine: Engine) -> None:
    try:
        if engine.dialect.name == "sqlite":
            migrate(engine)
        else:
            check(engine)
    except (SQLAlchemyError, OSError) as error:
        if engine.dialect.name == "sqlite":
            raise PlatformError(
                f"The feedback log must be a SQLite file that can be written. Received: {error}. "
                "Make AISLE_HOME writable, or set AISLE_FEEDBACK_URL to a PostgreSQL database."
            ) from error
        logger.warning("The feedback log is away; events are refused until it is back: %s", error)


def _interaction(row: Any) -> Interaction:
    columns = dict(row)
    del columns["id"]
    return Interaction(**{**columns, "event_type": EventType(columns["event_type"])})
