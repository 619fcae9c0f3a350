"""Connections to the log's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from ml.contract.errors import PlatformError

BUSY_SECONDS = 2.0
"""A statement of SQLite waits so long for another writer, one of PostgreSQL for a connection, before it fails."""
POOL_SIZE = 5
_STEPS_BETWEEN_LOOKS = 100_000
"""Of SQLite's machine, between two looks at the clock: about a millisecond."""


def engine_of(url: str | None, *, default: Path) -> Engine:
    """The engine of a URL, or of the SQLite file `default` when there is no URL. Connects to nothing yet.

    Raises:
        PlatformError: neither SQLite nor PostgreSQL.
    """
    if url is None:
        return _sqlite(URL.create("sqlite", database=str(default)))
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = URL.create("no URL at all")
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database:
        return _sqlite(parsed)
    if kind in ("postgresql", "postgres"):
        return _postgresql(parsed)
    raise PlatformError(
        f"AISLE_FEEDBACK_URL must begin with sqlite:/// or postgresql://. Received: {kind}. Leave it out for a SQLite file in AISLE_HOME."
    )


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        # Python's driver would commit before each change of a table: a migration that is killed must leave no half of itself.
        connection.isolation_level = None
        # WAL: readers never wait for the writer. FULL: a commit returns when its bytes are on the disk, not when they are on their way.
        connection.execute("pragma journal_mode = wal").fetchone()
        connection.execute("pragma synchronous = full")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("begin")

    return engine


def _postgresql(url: URL) -> Engine:
    from serving.feedback.postgresql import STATEMENT_SECONDS, ImpatientConnection

    milliseconds = int(STATEMENT_SECONDS * 1000)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,  # an error is logged; what people did is not
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        pool_recycle=300,
        connect_args={
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c timezone=UTC",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "tcp_user_timeout": 5000,
            "application_name": "aisle",
        },
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> ImpatientConnection:
        return ImpatientConnection.connect(*arguments, **options)

    return engine


@contextmanager
def allowed_seconds(connection: Connection, seconds: float) -> Iterator[None]:
    """So long may what is asked take: each statement in PostgreSQL, all of it together in SQLite. A statement that takes longer is
    broken off, so that it frees its connection whoever still waits for it."""
    if connection.dialect.name == "postgresql":
        from serving.feedback.postgresql import patient

        with patient(connection, seconds):
            yield
        return
    database: Any = connection.connection.driver_connection
    until = monotonic() + seconds
    database.set_progress_handler(lambda: monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)
