"""From a source into the raw tables: all of a window, or nothing of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import duckdb
import pyarrow as pa

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEMS, RAW_USERS
from orchestration.resources.warehouse import DuckDBWarehouse
from orchestration.sources.source import Source

SCHEMA = "raw"


@dataclass(frozen=True)
class LandedDays:
    """What one landing of a window wrote."""

    rows_by_kind: dict[str, int]
    """Of interactions by event type, of impressions by surface."""
    table_rows: int
    """In the whole table, other days included."""
    start: date
    end: date
    source: str

    @property
    def rows(self) -> int:
        return sum(self.rows_by_kind.values())


@dataclass(frozen=True)
class LandedSnapshot:
    """What one landing of a whole table wrote."""

    rows: int
    digest: str
    """Of the content: the same rows give the same digest."""
    source: str


def land_interactions(source: Source, warehouse: DuckDBWarehouse, *, start: date, end: date) -> LandedDays:
    """`raw.interactions` of the days [start, end] becomes what the source gives for them. Landing twice changes nothing."""
    table = _DailyTable(warehouse, "interactions", RAW_INTERACTIONS, kind="event_type")
    table.replace(source.interactions(start, end), start=start, end=end)
    return table.landed(source, start=start, end=end)


def land_impressions(source: Source, warehouse: DuckDBWarehouse, *, start: date, end: date) -> LandedDays:
    """`raw.impressions` of the days [start, end]; the table exists, empty, where the source logs none."""
    table = _DailyTable(warehouse, "impressions", RAW_IMPRESSIONS, kind="surface")
    table.replace(source.impressions(start, end), start=start, end=end)
    return table.landed(source, start=start, end=end)


def land_items(source: Source, warehouse: DuckDBWarehouse) -> LandedSnapshot:
    """`raw.items` becomes the source's catalogue."""
    return _land_snapshot(warehouse, "items", RAW_ITEMS, source.items(), source.describe())


def land_users(source: Source, warehouse: DuckDBWarehouse) -> LandedSnapshot:
    """`raw.users` becomes the source's users."""
    return _land_snapshot(warehouse, "users", RAW_USERS, source.users(), source.describe())


def land_everything(source: Source, warehouse: DuckDBWarehouse) -> None:
    """All four raw tables over all days of the source."""
    start, end = source.first_day(), source.last_day()
    land_interactions(source, warehouse, start=start, end=end)
    land_impressions(source, warehouse, start=start, end=end)
    land_items(source, warehouse)
    land_users(source, warehouse)


@dataclass(frozen=True)
class _DailyTable:
    """A raw table whose partitions are the days of `landed_on`."""

    warehouse: DuckDBWarehouse
    name: str
    schema: pa.Schema
    kind: str
    """Column to count rows by."""

    def replace(self, tables: Iterator[pa.Table], *, start: date, end: date) -> None:
        with self.warehouse.transaction() as connection:
            _ensure_table(connection, self.name, self.schema)
            _run(connection, f"delete from {SCHEMA}.{self.name} where landed_on between ? and ?", [start, end])
            for table in tables:
                _insert(connection, self.name, table.cast(self.schema))

    def landed(self, source: Source, *, start: date, end: date) -> LandedDays:
        sql = f"""
            select coalesce({self.kind}, 'null') as kind, count(*) filter (landed_on between ? and ?) as landed, count(*) as total
            from {SCHEMA}.{self.name} group by all order by landed desc, kind
        """
        counts = self.warehouse.query(sql, [start, end]).to_pylist()
        return LandedDays(
            rows_by_kind={row["kind"]: row["landed"] for row in counts if row["landed"]},
            table_rows=sum(row["total"] for row in counts),
            start=start,
            end=end,
            source=source.describe(),
        )


def _land_snapshot(
    warehouse: DuckDBWarehouse, name: str, schema: pa.Schema, table: pa.Table, source: str
) -> LandedSnapshot:
    rows = table.cast(schema)
    with warehouse.transaction() as connection:
        _ensure_table(connection, name, schema)
        _run(connection, f"delete from {SCHEMA}.{name}")
        _insert(connection, name, rows)
    return LandedSnapshot(len(rows), _digest(rows), source)


def _ensure_table(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    _run(connection, f"create schema if not exists {SCHEMA}")
    connection.register("shape", schema.empty_table())
    _run(connection, f"create table if not exists {SCHEMA}.{name} as from shape")
    connection.unregister("shape")


def _insert(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("landing", rows)
    _run(connection, f"insert into {SCHEMA}.{name} by name from landing")
    connection.unregister("landing")


def _run(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[date] | None = None) -> None:
    # DuckDB 2 refuses the next statement until the result of the last one has been fetched.
    connection.execute(sql, parameters).fetchall()


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sha256(sink.getvalue()).hexdigest()[:16]
