"""What the service wrote down, as rows of the raw tables: the way back from a list to the next training.

The tables are those of `serving/feedback/schema.py`; nothing of the service is imported here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from sqlalchemy import Connection, create_engine, make_url, text

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS
from ml.evaluation.parity import LoggedList
from ml.features.pseudonym import MARK
from orchestration.sources.source import Source

ROWS = 100_000

# Ordered by the key, so that equal logs give equal rows. An instant is a whole number of microseconds in the log, as in Arrow.
INTERACTIONS = """
    select
        user_id, item_id, event_type, occurred_at_us as occurred_at, event_id, quantity, price, order_id, session_id, request_id,
        received_at_us as received_at, case when user_id is null then 'anonymous' end as excluded_because, id as source_row
    from interactions where received_at_us >= :start_us and received_at_us < :end_us order by id
"""
IMPRESSIONS = """
    select request_id, user_id, item_id, position, shown_at_us as shown_at, surface, bundle_version, propensity, source
    from impressions where shown_at_us >= :start_us and shown_at_us < :end_us order by id
"""
LISTS = "select request_id, bundle_version, trace from requests order by shown_at_us desc, request_id limit :num_lists"


@dataclass(frozen=True)
class FeedbackRows:
    """The log behind a SQLAlchemy URL. Visits without a user are out of scope, as `anonymous`: training is about people who come back."""

    url: str

    @classmethod
    def of(cls, url: str) -> Self | None:
        """None where the log is a file that no service has begun yet."""
        database = make_url(url).database
        is_file = make_url(url).get_backend_name() == "sqlite"
        return None if is_file and not Path(database or "").exists() else cls(url)

    def interactions(self, start: date, end: date) -> Iterator[pa.Table]:
        """Events received in [start, end], as `RAW_INTERACTIONS`. Their day is that of `received_at`; user ids carry the mark of a pseudonym."""
        return self._rows(INTERACTIONS, RAW_INTERACTIONS, start, end, arrived="received_at")

    def impressions(self, start: date, end: date) -> Iterator[pa.Table]:
        """Places shown in [start, end], as `RAW_IMPRESSIONS`."""
        return self._rows(IMPRESSIONS, RAW_IMPRESSIONS, start, end, arrived="shown_at")

    def newest_lists(self, num_lists: int) -> list[LoggedList]:
        """The last lists that were shown, with what they were made from."""
        with self._connection() as connection:
            rows = connection.execute(text(LISTS), {"num_lists": num_lists}).mappings()
            return [LoggedList(**row) for row in rows]

    def _rows(self, sql: str, schema: pa.Schema, start: date, end: date, *, arrived: str) -> Iterator[pa.Table]:
        window = {"start_us": _midnight_us(start), "end_us": _midnight_us(end + timedelta(days=1))}
        with self._connection() as connection:
            for page in connection.execute(text(sql), window).mappings().partitions(ROWS):
                yield _table([dict(row) for row in page], schema, arrived=arrived)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        url = make_url(self.url)
        # The service's driver, whatever else is installed.
        engine = create_engine(url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)
        try:
            with engine.connect().execution_options(stream_results=True) as connection:
                yield connection
        finally:
            engine.dispose()


@dataclass(frozen=True)
class WithFeedback:
    """A source, and what the service wrote down on the same days."""

    source: Source
    logged: FeedbackRows

    def first_day(self) -> date:
        return self.source.first_day()

    def last_day(self) -> date:
        return self.source.last_day()

    def interactions(self, start: date, end: date) -> Iterator[pa.Table]:
        return chain(self.source.interactions(start, end), self.logged.interactions(start, end))

    def impressions(self, start: date, end: date) -> Iterator[pa.Table]:
        return chain(self.source.impressions(start, end), self.logged.impressions(start, end))

    def items(self) -> pa.Table:
        return self.source.items()

    def item_embeddings(self) -> pa.Table:
        return self.source.item_embeddings()

    def users(self) -> pa.Table:
        return self.source.users()

    def describe(self) -> str:
        return f"{self.source.describe()}, and the service's log"


def _table(rows: list[dict[str, Any]], schema: pa.Schema, *, arrived: str) -> pa.Table:
    for row in rows:
        if row["user_id"] is not None:
            row["user_id"] = MARK + row["user_id"]
        row["landed_on"] = date(1970, 1, 1) + timedelta(days=row[arrived] // 86_400_000_000)
    return pa.Table.from_pylist(rows, schema=schema)


def _midnight_us(day: date) -> int:
    return (datetime.combine(day, time(), UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
