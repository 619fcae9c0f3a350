"""INFORMATION_SCHEMA, from what the catalog knows.

https://cloud.google.com/bigquery/docs/information-schema-intro. Views and columns that are not here are errors.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tests.local_gcp.bigquery.catalog import Catalog
from tests.local_gcp.bigquery.errors import missing_here
from tests.local_gcp.bigquery.names import TableId
from tests.local_gcp.bigquery.types import sql_type

INSTANT = pa.timestamp("us", tz="UTC")
SCHEMATA = pa.schema(
    {"catalog_name": pa.string(), "schema_name": pa.string(), "location": pa.string(), "creation_time": INSTANT}
)
TABLES = pa.schema(
    {
        "table_catalog": pa.string(),
        "table_schema": pa.string(),
        "table_name": pa.string(),
        "table_type": pa.string(),
        "creation_time": INSTANT,
    }
)
COLUMNS = pa.schema(
    {
        "table_catalog": pa.string(),
        "table_schema": pa.string(),
        "table_name": pa.string(),
        "column_name": pa.string(),
        "ordinal_position": pa.int64(),
        "is_nullable": pa.string(),
        "data_type": pa.string(),
        "is_partitioning_column": pa.string(),
        "clustering_ordinal_position": pa.int64(),
    }
)

Row = dict[str, Any]


def rows_of(view: str, catalog: Catalog, *, project: str, dataset: str | None) -> pa.Table:
    if view not in VIEWS:
        raise missing_here(f"INFORMATION_SCHEMA.{view}")
    if dataset is not None:
        catalog.dataset(project, dataset)
    shape, rows = VIEWS[view]
    return pa.Table.from_pylist(rows(catalog, project, dataset), shape)


def _instant(resource: Row) -> datetime:
    return datetime.fromtimestamp(int(resource["creationTime"]) / 1000, UTC)


def _schemata(catalog: Catalog, project: str, _: str | None) -> list[Row]:
    return [
        {
            "catalog_name": project,
            "schema_name": name,
            "location": resource["location"],
            "creation_time": _instant(resource),
        }
        for (owner, name), resource in catalog.datasets.items()
        if owner == project
    ]


def _place(table: TableId) -> Row:
    return {"table_catalog": table.project, "table_schema": table.dataset, "table_name": table.name}


def _inside(catalog: Catalog, project: str, dataset: str | None) -> list[TableId]:
    return [table for table in catalog.tables if table.project == project and dataset in (None, table.dataset)]


def _tables(catalog: Catalog, project: str, dataset: str | None) -> list[Row]:
    types = {"TABLE": "BASE TABLE", "VIEW": "VIEW"}
    found = [(table, catalog.tables[table]) for table in _inside(catalog, project, dataset)]
    return [
        _place(table) | {"table_type": types[resource["type"]], "creation_time": _instant(resource)}
        for table, resource in found
    ]


def _columns(catalog: Catalog, project: str, dataset: str | None) -> list[Row]:
    return [row for table in _inside(catalog, project, dataset) for row in _columns_of(catalog, table)]


def _columns_of(catalog: Catalog, table: TableId) -> list[Row]:
    resource = catalog.known(table)
    partition = (resource.get("timePartitioning") or resource.get("rangePartitioning") or {}).get("field")
    clustering = resource.get("clustering", {}).get("fields", [])
    return [
        _place(table)
        | {
            "column_name": field["name"],
            "ordinal_position": position,
            "is_nullable": "NO" if field["mode"] == "REQUIRED" else "YES",
            "data_type": sql_type(field),
            "is_partitioning_column": "YES" if field["name"] == partition else "NO",
            "clustering_ordinal_position": clustering.index(field["name"]) + 1 if field["name"] in clustering else None,
        }
        for position, field in enumerate(catalog.fields(table), 1)
    ]


VIEWS: dict[str, tuple[pa.Schema, Callable[[Catalog, str, str | None], list[Row]]]] = {
    "SCHEMATA": (SCHEMATA, _schemata),
    "TABLES": (TABLES, _tables),
    "COLUMNS": (COLUMNS, _columns),
}
