"""A shop's own files as a source, read by a mapping."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Self

import pyarrow as pa

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEM_EMBEDDINGS, RAW_ITEMS, RAW_USERS
from ml.contract.errors import MappingError
from orchestration.sources.derived import DERIVED, derived_items_sql, derived_users_sql
from orchestration.sources.embeddings import Embeddings
from orchestration.sources.file_columns import resolve
from orchestration.sources.file_scan import MappedColumn
from orchestration.sources.mapped_table import MappedTable
from orchestration.sources.mapping import DerivedItems, DerivedUsers, ItemsTable, Mapping, SourceTable, UsersTable
from orchestration.sources.rules import ColumnRef, EventTypeColumn
from orchestration.sources.sql_duckdb import DUCKDB, ROW_NUMBER

MAX_SPAN_DAYS = 3_660
"""A longer span is a mistyped year, not a history."""


@dataclass(frozen=True)
class FilesSource:
    """Files described by a mapping. A file is read through and checked before its first row is given out."""

    mapping: Mapping
    folder: Path
    """Of the mapping file."""
    data_dir: Path | None = None
    until: date | None = None
    """Rows that arrived later are left out."""

    @classmethod
    def open(cls, mapping: Path, *, data_dir: Path | None = None, until: date | None = None) -> Self:
        """The source a mapping file describes.

        Raises:
            MappingError: the mapping is not valid, or names tables.
        """
        read = Mapping.read(mapping)
        if not read.is_of_files:
            raise MappingError(
                f"AISLE_SOURCE=files reads files. Received: {mapping}, which names tables. Set AISLE_SOURCE=bigquery, or name files by `path`."
            )
        return cls(read, mapping.absolute().parent, data_dir, until)

    def first_day(self) -> date:
        return self._window[0]

    def last_day(self) -> date:
        return self._window[1] if self.until is None else min(self._window[1], self.until)

    def interactions(self, start: date, end: date) -> Iterator[pa.Table]:
        """Rows that arrived in [start, end], in the order and with the numbers they have in the file.

        Raises:
            MappingError: the file is not what the mapping says.
        """
        table = self._interactions
        columns = ", ".join(RAW_INTERACTIONS.names)
        return table.read(f"select {columns} from {self._landed} where {self._within(start, end)}")

    def impressions(self, start: date, end: date) -> Iterator[pa.Table]:
        mapped = self.mapping.impressions
        if mapped is None:
            return iter(())
        table = MappedTable.open(self._path(mapped), mapped, columns=mapped.columns, schema=RAW_IMPRESSIONS)
        landed = f"(select *, {self._landed_on('shown_at')} as landed_on from {table.sql()})"
        return table.read(f"select {', '.join(RAW_IMPRESSIONS.names)} from {landed} where {self._within(start, end)}")

    def items(self) -> pa.Table:
        items = self.mapping.items
        if isinstance(items, DerivedItems):
            sql = derived_items_sql(self._in_scope, tuple(items.derive), DUCKDB)
            return self._interactions.read_all(f"{sql} order by item_id").cast(RAW_ITEMS)
        return self._snapshot(items)

    def item_embeddings(self) -> pa.Table:
        found = Embeddings.of(self.mapping.items)
        if found is None:
            return RAW_ITEM_EMBEDDINGS.empty_table()
        path = self._path(found.items)
        table = MappedTable.open(path, found.items, columns=found.columns, schema=found.schema, steps=found.steps)
        return table.read_all(found.sql(table.sql(), DUCKDB)).cast(RAW_ITEM_EMBEDDINGS)

    def users(self) -> pa.Table:
        users = self.mapping.users
        if isinstance(users, DerivedUsers):
            sql = derived_users_sql(self._in_scope, tuple(users.derive), DUCKDB)
            return self._interactions.read_all(f"{sql} order by user_id").cast(RAW_USERS)
        return self._snapshot(users)

    def describe(self) -> str:
        return f"files, {self._path(self.mapping.interactions).name}"

    @cached_property
    def _interactions(self) -> MappedTable:
        mapped = self.mapping.interactions
        return MappedTable.open(
            self._path(mapped),
            mapped,
            columns=mapped.columns,
            schema=RAW_INTERACTIONS,
            steps=mapped.normalise,
            also=tuple(self._also()),
            needed=[rule.column for rule in mapped.rules],
        )

    def _also(self) -> Iterator[MappedColumn]:
        """What is read of the interactions besides their own columns."""
        event_type = self.mapping.interactions.event_type
        if isinstance(event_type, EventTypeColumn):
            yield MappedColumn("event_type", ColumnRef(column=event_type.column), pa.string())
        for part, schema in ((self.mapping.items, RAW_ITEMS), (self.mapping.users, RAW_USERS)):
            if isinstance(part, DerivedItems | DerivedUsers):
                for ours, ref in part.derive.items():
                    yield MappedColumn(f"{DERIVED}{ours}", ref, schema.field(ours).type)

    @cached_property
    def _typed(self) -> str:
        """Relation: interactions under our names, with what items and users are derived from."""
        mapped = self.mapping.interactions
        own_type = DUCKDB.text(mapped.columns["event_type"], "VARCHAR") if "event_type" in mapped.columns else "null"
        return self._interactions.sql(
            {
                "event_type": DUCKDB.event_type(mapped, own_type),
                "excluded_because": DUCKDB.excluded_because(mapped),
                "source_row": ROW_NUMBER,
            }
        )

    @cached_property
    def _landed(self) -> str:
        """Relation: the same with the day each row arrived."""
        arrived = self._landed_on("coalesce(received_at, occurred_at)")
        return f"(select *, {arrived} as landed_on from {self._typed})"

    @cached_property
    def _in_scope(self) -> str:
        """Relation: the rows items and users are derived from."""
        return f"(from {self._landed} where excluded_because is null and landed_on <= '{self.last_day()}')"

    @cached_property
    def _window(self) -> tuple[date, date]:
        mapped = self.mapping.interactions
        if mapped.first_day and mapped.last_day:
            return mapped.first_day, mapped.last_day
        arrived = "cast(coalesce(received_at, occurred_at) as date)"
        found = self._interactions.read_all(
            f"select min({arrived}) as first, max({arrived}) as last from {self._typed}"
        )
        first, last = mapped.first_day or found["first"][0].as_py(), mapped.last_day or found["last"][0].as_py()
        if not 0 <= (last - first).days <= MAX_SPAN_DAYS:
            raise MappingError(
                f"Column {mapped.columns['occurred_at'].column!r} must span at most {MAX_SPAN_DAYS} days. Received: {first} to {last}. "
                "Set `first_day` and `last_day` in the mapping: rows outside land on the nearest of them."
            )
        return first, last

    def _landed_on(self, instant: str) -> str:
        """The day an instant arrived, inside the window; the last day where it is unknown."""
        first, last = self._window
        return f"least(greatest(coalesce(cast({instant} as date), date '{last}'), date '{first}'), date '{last}')"

    def _within(self, start: date, end: date) -> str:
        return f"landed_on between date '{start}' and date '{min(end, self.last_day())}'"

    def _snapshot(self, mapped: ItemsTable | UsersTable) -> pa.Table:
        schema = RAW_ITEMS if isinstance(mapped, ItemsTable) else RAW_USERS
        table = MappedTable.open(
            self._path(mapped), mapped, columns=mapped.columns, schema=schema, steps=mapped.normalise
        )
        # What is in a catalogue is for sale unless the catalogue says otherwise.
        active = {} if schema is RAW_USERS or "is_active" in mapped.columns else {"is_active": "true"}
        return table.read_all(f"select {', '.join(schema.names)} from {table.sql(active)}").cast(schema)

    def _path(self, table: SourceTable) -> Path:
        assert table.path is not None  # `open` refuses a mapping of tables
        return resolve(table.path, mapping_folder=self.folder, data_dir=self.data_dir)
