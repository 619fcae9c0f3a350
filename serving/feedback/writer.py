"""The one thread that writes the log: whatever arrived while it was writing goes into its next commit."""

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from threading import Condition, Thread
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ml.contract.errors import FeedbackError
from serving.feedback.records import Interaction, ShownList
from serving.feedback.schema import impressions, interactions, requests

MAX_WAITING_EVENTS = 20_000
MAX_WAITING_LISTS = 2_000
"""Each holds on to what its trace will be made of, tens of kilobytes; this is ten seconds of a busy process."""
LISTS_AT_ONCE = 50
"""In one commit: events never wait for more than these and the making of their traces."""
LISTS_EVERY_SECONDS = 0.2
"""A list is in no hurry; collecting them saves the disk a sync for each, a millisecond of CPU. So many as fit in one commit wait no longer."""
PAUSE_SECONDS = 1.0
"""Between two attempts to write lists while the database refuses."""

logger = logging.getLogger(__name__)


@dataclass
class _Submission:
    events: Sequence[Interaction]
    done: Future[list[bool]]


@dataclass(frozen=True)
class Backlog:
    """What waits to be written, and how often the database refused since this process began."""

    events: int
    lists: int
    oldest_list_us: int | None
    """When the list was shown that waits longest."""
    failed_event_commits: int
    failed_list_commits: int


class GroupWriter:
    """Commits events in groups: one sync of the disk for all that wait. Lists go behind them, and may be dropped; events may not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = Condition()
        self._events: list[_Submission] = []
        self._num_waiting = 0
        self._lists: OrderedDict[str, ShownList] = OrderedDict()
        self._lists_not_before = 0.0
        self._closing = False
        self._dropped = 0
        self._failed_event_commits = self._failed_list_commits = 0
        self._thread = Thread(target=self._run, name="feedback-writer", daemon=True)
        self._thread.start()

    @property
    def dropped_lists(self) -> int:
        """Lists that were shown and not written down, since this process began."""
        return self._dropped

    @property
    def backlog(self) -> Backlog:
        with self._changed:
            oldest = next(iter(self._lists.values()), None)
            return Backlog(
                events=self._num_waiting,
                lists=len(self._lists),
                oldest_list_us=oldest.shown_at_us if oldest else None,
                failed_event_commits=self._failed_event_commits,
                failed_list_commits=self._failed_list_commits,
            )

    def submit(self, events: Sequence[Interaction]) -> Future[list[bool]]:
        """Write events down.

        Returns:
            When they are durable: for each whether it is new (False: the log has its `event_id` already).

        Raises:
            FeedbackError: too many wait already. Also the future's error: the database refused, and none of them was acknowledged.
        """
        done: Future[list[bool]] = Future()
        if not events:
            done.set_result([])
            return done
        with self._changed:
            if self._closing or self._num_waiting + len(events) > MAX_WAITING_EVENTS:
                raise FeedbackError(
                    f"At most {MAX_WAITING_EVENTS} events may wait to be written. Received: more, or the service is stopping. Send them again."
                )
            self._events.append(_Submission(events, done))
            self._num_waiting += len(events)
            self._changed.notify()
        return done

    def offer(self, shown: ShownList) -> None:
        """Write a list down when there is time; dropped and counted when too many wait."""
        with self._changed:
            if self._closing or len(self._lists) >= MAX_WAITING_LISTS:
                self._drop(1, "too many wait to be written")
                return
            # A caller may send one request id twice; the first list under it is the one that counts.
            self._lists.setdefault(shown.request_id, shown)
            if len(self._lists) in (1, LISTS_AT_ONCE):
                self._changed.notify()

    def waiting(self, request_id: str) -> ShownList | None:
        """A list that is not written yet."""
        return self._lists.get(request_id)

    def close(self, *, seconds: float) -> bool:
        """Write what waits, then stop; whether all was written in that time."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            events, lists = self._next()
            if events:
                self._commit_events(events)
            if lists:
                self._commit_lists(lists)
            if not events and not lists and self._closing:
                return

    def _next(self) -> tuple[list[_Submission], list[ShownList]]:
        """What to write now; waits for it."""
        with self._changed:
            while not self._events and not self._closing:
                wait = self._seconds_until_lists()
                if wait == 0:
                    break
                self._changed.wait(wait)
            events, self._events, self._num_waiting = self._events, [], 0
            due = self._closing or self._seconds_until_lists() == 0
            return events, list(islice(self._lists.values(), LISTS_AT_ONCE)) if due else []

    def _seconds_until_lists(self) -> float | None:
        """None when no list waits."""
        if not self._lists:
            return None
        saved = LISTS_EVERY_SECONDS if len(self._lists) >= LISTS_AT_ONCE else 0.0
        return max(0.0, self._lists_not_before - saved - monotonic())

    def _commit_events(self, group: list[_Submission]) -> None:
        try:
            verdicts = self._insert_events([submission.events for submission in group])
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, those who wait must hear of it and the thread must live
            if len(group) > 1 and not isinstance(error, OperationalError):
                # Perhaps one row of one caller is what the database refuses: nobody else shall suffer for it.
                for submission in group:
                    self._commit_events([submission])
                return
            self._failed_event_commits += 1
            logger.warning("Events not written: %s", error)
            refusal = FeedbackError(
                "The feedback log must take events. Received: its database refuses them. None was acknowledged; send them again."
            )
            refusal.__cause__ = error
            for submission in group:
                _tell(submission.done, refusal)
            return
        for submission, verdict in zip(group, verdicts, strict=True):
            _tell(submission.done, verdict)

    def _insert_events(self, groups: list[Sequence[Interaction]]) -> list[list[bool]]:
        rows = [vars(event) for events in groups for event in events]
        try:
            new = self._insert(rows)
        except SQLAlchemyError as error:
            if not getattr(error, "connection_invalidated", False):
                raise
            # The server was restarted under an idle connection. Its successor is asked once; `event_id` makes that harmless.
            new = self._insert(rows)
        return [[_taken(new, event.event_id) for event in events] for events in groups]

    def _insert(self, rows: list[dict[str, Any]]) -> set[str]:
        with self._engine.begin() as connection:
            return _insert_new(connection, interactions, rows, key="event_id")

    def _commit_lists(self, lists: list[ShownList]) -> None:
        self._lists_not_before = monotonic() + LISTS_EVERY_SECONDS
        try:
            with self._engine.begin() as connection:
                _insert_lists(connection, lists)
        except OperationalError as error:
            self._failed_list_commits += 1
            if not self._closing:
                logger.warning("Lists not written yet: %s", error)
                self._lists_not_before = monotonic() + PAUSE_SECONDS
                return
            self._drop(len(lists), "the database is away and the service is stopping")
        except Exception:
            if len(lists) > 1:  # perhaps one of them is what cannot be written
                for shown in lists:
                    self._commit_lists([shown])
                return
            self._failed_list_commits += 1
            logger.exception("A list was not written.")
            self._drop(1, "it is refused")
        with self._changed:
            for shown in lists:
                del self._lists[shown.request_id]

    def _drop(self, number: int, reason: str) -> None:
        before, self._dropped = self._dropped, self._dropped + number
        # A full queue drops thousands: one line for the first, and one for each thousand.
        if not before or before // 1000 != self._dropped // 1000:
            logger.warning("Shown lists are dropped: %s. So far: %d.", reason, self._dropped)


def _insert_lists(connection: Connection, lists: Sequence[ShownList]) -> None:
    new = _insert_new(connection, requests, [_request_row(shown) for shown in lists], key="request_id")
    places = [row for shown in lists if shown.request_id in new for row in _impression_rows(shown)]
    if places:
        _insert_places(connection, places)


def _insert_places(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """By the driver itself: SQLAlchemy looks at each row anew, which takes longer than the database does to write it."""
    statement = impressions.insert().compile(dialect=connection.dialect, column_keys=list(rows[0]))
    if statement.positiontup is None:
        connection.exec_driver_sql(str(statement), rows)
    else:
        in_order = itemgetter(*statement.positiontup)
        connection.exec_driver_sql(str(statement), [in_order(row) for row in rows])


def _insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]], *, key: str) -> set[str]:
    """Insert the rows whose key the table does not hold; the keys of those."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).on_conflict_do_nothing(index_elements=[key]).returning(table.c[key])
    return set(connection.execute(statement, rows).scalars())


def _request_row(shown: ShownList) -> dict[str, Any]:
    return {
        "request_id": shown.request_id,
        "user_id": shown.user_id,
        "session_id": shown.session_id,
        "surface": shown.surface,
        "bundle_version": shown.bundle_version,
        "shown_at_us": shown.shown_at_us,
        "stages_ms": json.dumps(dict(shown.stages_ms), separators=(",", ":")),
        "trace": shown.trace(),
    }


def _impression_rows(shown: ShownList) -> Iterable[dict[str, Any]]:
    for item in shown.items:
        yield {
            **vars(item),
            "request_id": shown.request_id,
            "user_id": shown.user_id,
            "session_id": shown.session_id,
            "shown_at_us": shown.shown_at_us,
            "surface": shown.surface,
            "bundle_version": shown.bundle_version,
        }


def _taken(new: set[str], event_id: str) -> bool:
    """Whether an event is new; only the first of its id in a commit is."""
    if event_id not in new:
        return False
    new.remove(event_id)
    return True


def _tell(done: Future[list[bool]], outcome: list[bool] | Exception) -> None:
    if not done.set_running_or_notify_cancel():
        return  # whoever asked has gone
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
