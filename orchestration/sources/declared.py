"""The raw tables as views over the shop's own BigQuery tables: declared, never copied."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from ml.contract.columns import RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEM_EMBEDDINGS, RAW_ITEMS, RAW_USERS
from ml.contract.errors import MappingError
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.sources.arrival import Arrival, Days, arrival_of
from orchestration.sources.derived import DERIVED, derived_items_sql, derived_users_sql
from orchestration.sources.embeddings import VECTORS, Embeddings
from orchestration.sources.feedback import FeedbackRows
from orchestration.sources.landing import DailyTable
from orchestration.sources.mapping import InteractionsTable, ItemsTable, SourceTable, UsersTable
from orchestration.sources.mapping import Mapping as MappingFile
from orchestration.sources.raw_tables import (
    PARTITION,
    SCHEMA,
    RawDays,
    RawSnapshot,
    RawTables,
    digest_of,
    rows_by_kind,
)
from orchestration.sources.rules import ColumnRef, EventTypeColumn, Normalisation
from orchestration.sources.sql import normalised
from orchestration.sources.sql_bigquery import BIGQUERY
from orchestration.sources.user_table import UserTable

Columns = dict[str, str]
"""Ours: the expression of theirs."""


@dataclass(frozen=True)
class DeclaredTables(RawTables):
    """Views in the dataset `raw`, made again by each materialisation, none of them before all it needs has been found."""

    mapping: MappingFile
    warehouse: BigQueryWarehouse
    logged: FeedbackRows | None = None
    """What the service wrote down: landed in tables of its own, and part of the views."""

    @classmethod
    def read(cls, mapping: Path, warehouse: BigQueryWarehouse, logged: FeedbackRows | None = None) -> Self:
        """The tables a mapping file names.

        Raises:
            MappingError: the mapping is not valid, or names files.
        """
        read = MappingFile.read(mapping)
        if read.is_of_files:
            raise MappingError(
                f"AISLE_SOURCE=bigquery reads tables in place. Received: {mapping}, which names files. Name tables by `table`, or "
                "set AISLE_SOURCE=files."
            )
        return cls(read, warehouse, logged)

    def interactions(self, start: date, end: date) -> RawDays:
        mapped = self.mapping.interactions
        table = self._find(mapped, mapped.columns, RAW_INTERACTIONS)
        arrival = self._arrival(table)
        view = _select(table, _shaped(_interaction_columns(table, mapped), RAW_INTERACTIONS), arrival)
        if self.logged:
            table_of_log = DailyTable(self.warehouse, "logged_interactions", RAW_INTERACTIONS, kind="event_type")
            table_of_log.replace(self.logged.interactions(start, end), start=start, end=end)
            view += _and_all_of(table_of_log)
        self.warehouse.declare_view(SCHEMA, "interactions", view)
        return self._days("interactions", "event_type", table, arrival.warning, start=start, end=end)

    def impressions(self, start: date, end: date) -> RawDays:
        mapped = self.mapping.impressions
        logged = ""
        if self.logged:
            table_of_log = DailyTable(self.warehouse, "logged_impressions", RAW_IMPRESSIONS, kind="surface")
            table_of_log.replace(self.logged.impressions(start, end), start=start, end=end)
            logged = _and_all_of(table_of_log)
        if mapped is None:
            self.warehouse.declare_view(SCHEMA, "impressions", _nothing(RAW_IMPRESSIONS) + logged)
            kinds = rows_by_kind(self.warehouse, "impressions", "surface", start=start, end=end)
            return RawDays(kinds, table_rows=None, start=start, end=end, source="bigquery, no table of impressions")
        table = self._find(mapped, mapped.columns, RAW_IMPRESSIONS)
        arrival = arrival_of(
            table, self._mapped_days, landed_on=mapped.landed_on, instants=[mapped.columns["shown_at"]]
        )
        view = _select(table, _shaped(_typed(table, mapped.columns, RAW_IMPRESSIONS), RAW_IMPRESSIONS), arrival)
        self.warehouse.declare_view(SCHEMA, "impressions", view + logged)
        return self._days("impressions", "surface", table, arrival.warning, start=start, end=end)

    def items(self) -> RawSnapshot:
        items = self.mapping.items
        if isinstance(items, ItemsTable):
            # What is in a catalogue is for sale unless the catalogue says otherwise.
            return self._snapshot("items", items, RAW_ITEMS, otherwise={"is_active": "true"})
        table, in_scope = self._in_scope(items.derive, RAW_ITEMS)
        view = derived_items_sql(in_scope, tuple(items.derive), BIGQUERY)
        return self._declared("items", view, table, key="item_id", rows=None)

    def item_embeddings(self) -> RawSnapshot:
        found = Embeddings.of(self.mapping.items)
        if found is None:
            self.warehouse.declare_view(SCHEMA, "item_embeddings", _nothing(RAW_ITEM_EMBEDDINGS))
            return RawSnapshot(0, digest_of(RAW_ITEM_EMBEDDINGS.empty_table()), "bigquery, no vector columns")
        table = self._find(found.items, found.columns, found.schema)
        columns = _shaped(_typed(table, found.columns, found.schema, found.steps), found.schema)
        view = found.sql(f"({_select(table, columns)})", BIGQUERY)
        return self._declared("item_embeddings", view, table, key="item_id, name", rows=None)

    def users(self) -> RawSnapshot:
        users = self.mapping.users
        if isinstance(users, UsersTable):
            return self._snapshot("users", users, RAW_USERS, otherwise={})
        table, in_scope = self._in_scope(users.derive, RAW_USERS)
        view = derived_users_sql(in_scope, tuple(users.derive), BIGQUERY)
        return self._declared("users", view, table, key="user_id", rows=None)

    def describe(self) -> str:
        return f"bigquery, {self.mapping.interactions.table}"

    @property
    def _mapped_days(self) -> Days:
        mapped = self.mapping.interactions
        if mapped.first_day is None:
            raise MappingError(
                "AISLE_SOURCE=bigquery needs `first_day` under `interactions` of the mapping. Received: none. Set it."
            )
        return Days(mapped.first_day, mapped.last_day)

    def _find(self, mapped: SourceTable, columns: Mapping[Any, ColumnRef], schema: pa.Schema) -> UserTable:
        with self.warehouse.client() as client:
            table = UserTable.of(client, mapped, location=self.warehouse.location)
        for ours, ref in columns.items():
            table.require_readable(ours.replace(VECTORS, "vectors.", 1), ref, schema.field(ours).type)
        return table

    def _arrival(self, table: UserTable) -> Arrival:
        mapped = self.mapping.interactions
        instants = [mapped.columns[name] for name in ("received_at", "occurred_at") if name in mapped.columns]  # type: ignore[index]
        return arrival_of(table, self._mapped_days, landed_on=mapped.landed_on, instants=instants)

    def _in_scope(self, derive: Mapping[Any, ColumnRef], schema: pa.Schema) -> tuple[UserTable, str]:
        """The table of interactions, and the relation of its rows that items and users are derived from."""
        mapped = self.mapping.interactions
        table = self._find(mapped, mapped.columns, RAW_INTERACTIONS)
        columns = _interaction_columns(table, mapped)
        for ours, ref in derive.items():
            kind = schema.field(ours).type
            table.require_readable(f"derive.{ours}", ref, kind)
            columns[f"{DERIVED}{ours}"] = BIGQUERY.typed(ref, kind, table.type_of(ref.column), mapped)
        needed = {name: columns[name] for name in columns if name in _SCOPED or name.startswith(DERIVED)}
        return table, f"(select * from ({_select(table, needed, self._arrival(table))}) where excluded_because is null)"

    def _snapshot(
        self, name: str, mapped: ItemsTable | UsersTable, schema: pa.Schema, otherwise: Columns
    ) -> RawSnapshot:
        table = self._find(mapped, mapped.columns, schema)
        if table.needs_filter:
            raise MappingError(
                f"{table.address} must be readable as a whole. Received: a table that wants every query to bound {table.partition}. "
                "Lift that, or map a view of its newest rows."
            )
        columns = _shaped({**otherwise, **_typed(table, mapped.columns, schema, mapped.normalise)}, schema)
        return self._declared(name, _select(table, columns), table, key=schema.names[0], rows=table.num_rows)

    def _declared(self, name: str, view: str, table: UserTable, *, key: str, rows: int | None) -> RawSnapshot:
        self.warehouse.declare_view(SCHEMA, name, view)
        digest = sha256(f"{view} {table.state}".encode()).hexdigest()[:16] if table.kind == "TABLE" else None
        # A view does not tell when what it shows has changed: only reading it does.
        digest = digest or digest_of(self.warehouse.query(f"select * from {SCHEMA}.{name} order by {key}"))
        return RawSnapshot(rows, digest, self.describe(), layout=table.layout())

    def _days(self, name: str, kind: str, table: UserTable, warning: str | None, *, start: date, end: date) -> RawDays:
        return RawDays(
            rows_by_kind=rows_by_kind(self.warehouse, name, kind, start=start, end=end),
            table_rows=table.num_rows,
            start=start,
            end=end,
            source=self.describe(),
            layout=table.layout(),
            warnings=(warning,) if warning else (),
        )


_SCOPED = ("user_id", "item_id", "occurred_at", "excluded_because")


def _interaction_columns(table: UserTable, mapped: InteractionsTable) -> Columns:
    table.require(rule.column for rule in mapped.rules)
    if isinstance(mapped.event_type, EventTypeColumn):
        table.require([mapped.event_type.column])
    columns = _typed(table, mapped.columns, RAW_INTERACTIONS, mapped.normalise)
    return {
        **columns,
        "event_type": BIGQUERY.event_type(mapped, columns.get("event_type", "null")),
        "excluded_because": BIGQUERY.excluded_because(mapped),
    }


def _typed(
    table: UserTable,
    columns: Mapping[Any, ColumnRef],
    schema: pa.Schema,
    steps: Mapping[Any, tuple[Normalisation, ...]] | None = None,
) -> Columns:
    return {
        ours: normalised(
            BIGQUERY.typed(ref, schema.field(ours).type, table.type_of(ref.column), table.mapped),
            (steps or {}).get(ours, ()),
        )
        for ours, ref in columns.items()
    }


def _shaped(columns: Columns, schema: pa.Schema) -> Columns:
    """Every column of the contract in its order, null where the shop has none. Rows of a table have no number, so `source_row`
    is null too: BigQuery knows no order of rows."""
    return {
        field.name: BIGQUERY.cast(columns.get(field.name, "null"), field.type)
        for field in schema
        if field.name != PARTITION
    }


def _select(table: UserTable, columns: Columns, arrival: Arrival | None = None) -> str:
    listed = ", ".join(f"{expression} as `{name}`" for name, expression in columns.items())
    source = f"from `{table.address}`"
    if arrival is None:
        return f"select {listed} {source}"
    return " union all ".join(
        f"select {listed}, {branch.day} as {PARTITION} {source} where {branch.rows}" for branch in arrival.branches
    )


def _and_all_of(table: DailyTable) -> str:
    """The end of a view that shows the rows of a table of ours too."""
    columns = ", ".join(f"`{column}`" for column in table.schema.names)
    return f" union all select {columns} from `{SCHEMA}.{table.name}`"


def _nothing(schema: pa.Schema) -> str:
    columns = ", ".join(f"{BIGQUERY.cast('null', field.type)} as `{field.name}`" for field in schema)
    return f"select {columns} from unnest([1]) as nothing where false"
