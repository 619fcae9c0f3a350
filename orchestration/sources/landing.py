"""From a source into the raw tables: all of a window, or nothing of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEM_EMBEDDINGS, RAW_ITEMS, RAW_USERS
from orchestration.resources.warehouse import Warehouse
from orchestration.sources.raw_tables import (
    PARTITION,
    SCHEMA,
    RawDays,
    RawSnapshot,
    RawTables,
    digest_of,
    rows_by_kind,
)
from orchestration.sources.source import Source

CLUSTERS = ("user_id", "item_id")


@dataclass(frozen=True)
class LandedTables(RawTables):
    """What a source gives, written into the warehouse. Landing twice changes nothing."""

    source: Source
    warehouse: Warehouse

    def interactions(self, start: date, end: date) -> RawDays:
        table = DailyTable(self.warehouse, "interactions", RAW_INTERACTIONS, kind="event_type")
        table.replace(self.source.interactions(start, end), start=start, end=end)
        return table.landed(self.source, start=start, end=end)

    def impressions(self, start: date, end: date) -> RawDays:
        table = DailyTable(self.warehouse, "impressions", RAW_IMPRESSIONS, kind="surface")
        table.replace(self.source.impressions(start, end), start=start, end=end)
        return table.landed(self.source, start=start, end=end)

    def items(self) -> RawSnapshot:
        return self._snapshot("items", self.source.items().cast(RAW_ITEMS))

    def item_embeddings(self) -> RawSnapshot:
        return self._snapshot("item_embeddings", self.source.item_embeddings().cast(RAW_ITEM_EMBEDDINGS))

    def users(self) -> RawSnapshot:
        return self._snapshot("users", self.source.users().cast(RAW_USERS))

    def _snapshot(self, name: str, rows: pa.Table) -> RawSnapshot:
        self.warehouse.replace_table(SCHEMA, name, rows)
        return RawSnapshot(len(rows), digest_of(rows), self.source.describe())


@dataclass(frozen=True)
class DailyTable:
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

    def landed(self, source: Source, *, start: date, end: date) -> RawDays:
        # BigQuery answers it from the table's metadata, for nothing.
        [whole] = self.warehouse.query(f"select count(*) as num_rows from {SCHEMA}.{self.name}").to_pylist()
        return RawDays(
            rows_by_kind=rows_by_kind(self.warehouse, self.name, self.kind, start=start, end=end),
            table_rows=whole["num_rows"],
            start=start,
            end=end,
            source=source.describe(),
        )
