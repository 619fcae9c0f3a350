"""The tables of the embedded platform: one DuckDB file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa

BATCH_ROWS = 262_144


class DuckDBWarehouse(dg.ConfigurableResource[None]):
    """One DuckDB file. Opened for each use and closed after it, because only one process may hold it for writing."""

    path: str

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose instants are UTC. A writer makes the file and its folder when they are not there.

        Raises:
            duckdb.IOException: another process writes to the file, or it is to be read and is not there.
        """
        if not read_only:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(self.path, read_only=read_only)
        try:
            connection.execute("set TimeZone = 'UTC'").fetchall()
            yield connection
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection on which everything happens or, when anything raises, nothing does."""
        with self.connect() as connection:
            connection.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def query(self, sql: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """The whole answer at once."""
        with self.connect(read_only=True) as connection:
            return connection.sql(sql, params=parameters).to_arrow_table()

    def batches(self, sql: str, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The answer in pieces of at most `rows` rows, for what does not fit into memory."""
        with self.connect(read_only=True) as connection:
            yield from connection.sql(sql).to_arrow_reader(rows)

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> None:
        """Run one statement that changes something."""
        with self.connect() as connection:
            connection.execute(sql, parameters).fetchall()

    def table_exists(self, schema: str, name: str) -> bool:
        """Whether there is such a table or view; False also where the file itself is not there yet."""
        if not Path(self.path).exists():
            return False
        found = self.query(
            "select 1 as found from information_schema.tables where table_schema = ? and table_name = ?", [schema, name]
        )
        return len(found) > 0
