"""The tables of the embedded platform: one DuckDB file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow as pa

from ml.contract.errors import ContractError
from orchestration.dialect import SqlDialect
from orchestration.resources.warehouse import BATCH_ROWS, Parameter, Warehouse, checked_days


class DuckDBWarehouse(Warehouse):
    """One DuckDB file. Opened for each use and closed after it, because only one process may hold it for writing."""

    dialect: ClassVar[SqlDialect] = "duckdb"

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

    def query(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.Table:
        with self.connect(read_only=True) as connection:
            return connection.sql(sql, params=list(parameters)).to_arrow_table()

    def batches(
        self, sql: str, parameters: Sequence[Parameter] = (), *, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        with self.connect(read_only=True) as connection:
            yield from connection.sql(sql, params=list(parameters)).to_arrow_reader(rows)

    def execute(self, sql: str, parameters: Sequence[Parameter] = ()) -> None:
        with self.connect() as connection:
            _run(connection, sql, parameters)

    def table_exists(self, schema: str, name: str) -> bool:
        if not Path(self.path).exists():
            return False
        found = self.query(
            "select 1 as found from information_schema.tables where table_schema = ? and table_name = ?", [schema, name]
        )
        return len(found) > 0

    def replace_table(self, schema: str, name: str, rows: pa.Table) -> None:
        with self.transaction() as connection:
            _run(connection, f"create schema if not exists {schema}")
            connection.register("landing", rows)
            _run(connection, f"create or replace table {schema}.{name} as from landing")

    def replace_days(
        self,
        schema: str,
        name: str,
        tables: Iterator[pa.Table],
        shape: pa.Schema,
        *,
        day: str,
        start: date,
        end: date,
        cluster_by: Sequence[str] = (),  # noqa: ARG002 - a DuckDB table keeps the order it was written in
    ) -> None:
        with self.transaction() as connection:
            _run(connection, f"create schema if not exists {schema}")
            connection.register("shape", shape.empty_table())
            _run(connection, f"create table if not exists {schema}.{name} as from shape")
            _run(connection, f"delete from {schema}.{name} where {day} between ? and ?", [start, end])
            for rows in tables:
                connection.register("landing", checked_days(rows.cast(shape), day=day, start=start, end=end))
                _run(connection, f"insert into {schema}.{name} by name from landing")
                connection.unregister("landing")

    def export(self, sql: str, uri: str) -> list[str]:
        folder = Path(uri)
        if uri.startswith("gs://") or (folder.exists() and any(folder.iterdir())):
            raise ContractError(
                f"DuckDB exports to an empty or new folder of this machine. Received: {uri}. Name another."
            )
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "part-0.parquet"
        options = f"format parquet, compression zstd, row_group_size {BATCH_ROWS}"
        with self.connect(read_only=True) as connection:
            # One file: several threads would each write one, faster, and in an order that changes.
            _run(connection, f"copy ({sql}) to '{str(part).replace(chr(39), chr(39) * 2)}' ({options})")
        return [str(part)]


def _run(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Parameter] = ()) -> None:
    # DuckDB 2 refuses the next statement until the result of the last one has been fetched.
    connection.execute(sql, list(parameters)).fetchall()
