"""From a source into the raw tables: all of a window, or nothing of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import pyarrow as pa

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEMS, RAW_USERS
from orchestration.resources.warehouse import Warehouse
from orchestration.sources.source import Source

SCHEMA = "raw"
PARTITION = "landed_on"
CLUSTERS = ("user_id", "item_id")


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


def land_interactions(source: Source, warehouse: Warehouse, *, start: date, end: date) -> LandedDays:
    """`raw.interactions` of the days [start, end] becomes what the source gives for them. Landing twice changes nothing."""
    table = _DailyTable(warehouse, "interactions", RAW_INTERACTIONS, kind="event_type")
    table.replace(source.interactions(start, end), start=start, end=end)
    return table.landed(source, start=start, end=end)


def land_impressions(source: Source, warehouse: Warehouse, *, start: date, end: date) -> LandedDays:
    """`raw.impressions` of the days [start, end]; the table exists, empty, where the source logs none."""
    table = _DailyTable(warehouse, "impressions", RAW_IMPRESSIONS, kind="surface")
    table.replace(source.impressions(start, end), start=start, end=end)
    return table.landed(source, start=start, end=end)


def land_items(source: Source, warehouse: Warehouse) -> LandedSnapshot:
    """`raw.items` becomes the source's catalogue."""
    return _land_snapshot(warehouse, "items", source.items().cast(RAW_ITEMS), source.describe())


def land_users(source: Source, warehouse: Warehouse) -> LandedSnapshot:
    """`raw.users` becomes the source's users."""
    return _land_snapshot(warehouse, "users", source.users().cast(RAW_USERS), source.describe())


def land_everything(source: Source, warehouse: Warehouse) -> None:
    """All four raw tables over all days of the source."""
    start, end = source.first_day(), source.last_day()
    land_interactions(source, warehouse, start=start, end=end)
    land_impressions(source, warehouse, start=start, end=end)
    land_items(source, warehouse)
    land_users(source, warehouse)


@dataclass(frozen=True)
class _DailyTable:
    """A raw table whose partitions are the days of `landed_on`."""

    warehouse: Warehouse
    name: str
    schema: pa.Schema
    kind: str
    """Column to count rows by."""

    def replace(self, tables: Iterator[pa.Table], *, start: date, end: date) -> None:
        self.warehouse.replace_days(
            SCHEMA, self.name, tables, self.schema, day=PARTITION, start=start, end=end, cluster_by=CLUSTERS
        )

    def landed(self, source: Source, *, start: date, end: date) -> LandedDays:
        by_kind = f"""
            select coalesce({self.kind}, 'null') as kind, count(*) as num_rows
            from {SCHEMA}.{self.name} where {PARTITION} between ? and ? group by 1 order by num_rows desc, kind
        """
        counts = self.warehouse.query(by_kind, [start, end]).to_pylist()
        # BigQuery answers it from the table's metadata, for nothing.
        [whole] = self.warehouse.query(f"select count(*) as num_rows from {SCHEMA}.{self.name}").to_pylist()
        return LandedDays(
            rows_by_kind={row["kind"]: row["num_rows"] for row in counts},
            table_rows=whole["num_rows"],
            start=start,
            end=end,
            source=source.describe(),
        )


def _land_snapshot(warehouse: Warehouse, name: str, rows: pa.Table, source: str) -> LandedSnapshot:
    warehouse.replace_table(SCHEMA, name, rows)
    return LandedSnapshot(len(rows), _digest(rows), source)


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sha256(sink.getvalue()).hexdigest()[:16]
