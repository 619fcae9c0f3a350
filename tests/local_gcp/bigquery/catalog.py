"""Projects, datasets and tables: one DuckDB database per project, and what DuckDB has no place for beside it."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import duckdb

from tests.local_gcp.bigquery.errors import BigQueryError, already_exists, invalid, missing_here, not_found
from tests.local_gcp.bigquery.names import TableId
from tests.local_gcp.bigquery.translation import MACROS
from tests.local_gcp.bigquery.types import Field, column_definitions, duckdb_type, field_of, sql_type

Resource = dict[str, Any]
"""A Dataset or a Table as the interface describes it."""

REMEMBERED = ("timePartitioning", "rangePartitioning", "clustering", "requirePartitionFilter", "expirationTime",
              "description", "friendlyName", "labels", "tableConstraints", "schema", "view")  # fmt: skip
FIXED_SIZES = {"INTEGER": 8, "FLOAT": 8, "BOOLEAN": 1, "DATE": 8, "DATETIME": 8, "TIME": 8, "TIMESTAMP": 8,
               "NUMERIC": 16}  # fmt: skip
"""https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes"""


def now_ms() -> str:
    return str(int(time.time() * 1000))


class Catalog:
    def __init__(self) -> None:
        # A function that is not built in would be fetched from the net.
        self._connection = duckdb.connect(config={"autoload_known_extensions": "false"})
        for macro in MACROS:
            self._connection.execute(macro)
        self._projects: set[str] = set()
        self.datasets: dict[tuple[str, str], Resource] = {}
        self.tables: dict[TableId, Resource] = {}

    def cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        cursor.execute("set TimeZone = 'UTC'")
        return cursor

    def attach(self, project: str) -> None:
        if project not in self._projects:
            self._connection.execute(f"attach ':memory:' as \"{project}\"")
            self._projects.add(project)

    def clear(self) -> None:
        for project, dataset in list(self.datasets):
            self.drop_dataset(project, dataset, contents=True)

    # -- datasets ------------------------------------------------------------------------------------------------------

    def create_dataset(self, project: str, name: str, body: Resource, *, exists_ok: bool = False) -> Resource:
        if (project, name) in self.datasets:
            if exists_ok:
                return self.datasets[project, name]
            raise already_exists(f"Dataset {project}:{name}")
        self.attach(project)
        self._connection.execute(f'create schema "{project}"."{name}"')
        self.datasets[project, name] = {
            "kind": "bigquery#dataset",
            "id": f"{project}:{name}",
            "location": "US",
            "creationTime": now_ms(),
            **body,
            "datasetReference": {"projectId": project, "datasetId": name},
        }
        return self.update_dataset(project, name, {})

    def dataset(self, project: str, name: str) -> Resource:
        if (project, name) not in self.datasets:
            raise not_found(f"Dataset {project}:{name}")
        return self.datasets[project, name]

    def update_dataset(self, project: str, name: str, body: Resource) -> Resource:
        dataset = self.dataset(project, name)
        dataset |= {**body, "lastModifiedTime": now_ms(), "etag": uuid.uuid4().hex}
        return dataset

    def drop_dataset(self, project: str, name: str, *, contents: bool) -> None:
        self.dataset(project, name)
        inside = [table for table in self.tables if (table.project, table.dataset) == (project, name)]
        if inside and not contents:
            raise BigQueryError(f"Dataset {project}:{name} is still in use", reason="resourceInUse")
        self._connection.execute(f'drop schema "{project}"."{name}" cascade')
        del self.datasets[project, name]
        for table in inside:
            del self.tables[table]

    # -- tables --------------------------------------------------------------------------------------------------------

    def known(self, table: TableId) -> Resource:
        """The resource without its counts and its live schema."""
        if table not in self.tables:
            self.dataset(table.project, table.dataset)
            raise not_found(f"Table {table}")
        return self.tables[table]

    def view_query(self, table: TableId) -> str | None:
        view = self.known(table).get("view")
        return view["query"] if view else None

    def register(self, table: TableId, body: Resource) -> Resource:
        """Note a table that has just been made (or made anew) in DuckDB, or a view."""
        self.tables[table] = {
            "kind": "bigquery#table",
            "id": str(table),
            "type": "VIEW" if "view" in body else "TABLE",
            "creationTime": now_ms(),
            "location": self.dataset(table.project, table.dataset)["location"],
            **{key: value for key, value in body.items() if key in REMEMBERED},
            "tableReference": table.reference,
        }
        return self.touch(table)

    def touch(self, table: TableId) -> Resource:
        resource = self.tables[table]
        resource |= {"lastModifiedTime": now_ms(), "etag": uuid.uuid4().hex}
        return resource

    def create_table(self, table: TableId, body: Resource) -> Resource:
        """From tables.insert. A view comes through the engine, which knows its columns."""
        self.dataset(table.project, table.dataset)
        if table in self.tables:
            raise already_exists(f"Table {table}")
        if unknown := {"externalDataConfiguration", "materializedView", "snapshotDefinition"} & body.keys():
            raise missing_here(f"tables with {', '.join(unknown)}")
        columns = column_definitions(body.get("schema", {}).get("fields", []))
        if "view" not in body:
            # DuckDB has no table without columns, which is what a table becomes that is created before its first load.
            self._connection.execute(f"create table {table.duckdb} ({columns or '__empty BOOLEAN'})")
        return self.register(table, body)

    def table(self, table: TableId) -> Resource:
        """The resource as tables.get answers it."""
        resource = dict(self.known(table))
        if resource["type"] == "VIEW":
            return resource
        fields = self.fields(table)
        rows, size = self._connection.cursor().execute(
            f"select count(*), {logical_bytes(fields)} from {table.duckdb}"
        ).fetchone()  # fmt: skip
        return resource | {"schema": {"fields": fields}, "numRows": str(rows), "numBytes": str(size or 0)}

    def fields(self, table: TableId) -> list[Field]:
        """The columns as they are, with the descriptions and modes that were noted."""
        resource = self.known(table)
        noted = {field["name"].lower(): field for field in resource.get("schema", {}).get("fields", [])}
        if resource["type"] == "VIEW":
            return list(noted.values())
        live = self.cursor().sql(f"from {table.duckdb} limit 0")
        fields = [field_of(*column) for column in zip(live.columns, live.types, strict=True) if column[0] != "__empty"]
        return [_with_notes(field, noted.get(field["name"].lower(), {})) for field in fields]

    def is_empty_shell(self, table: TableId) -> bool:
        """Made without columns: its first load decides them."""
        return not self.fields(table)

    def update_table(self, table: TableId, body: Resource) -> Resource:
        """From tables.patch and tables.update: metadata, and columns that are new."""
        resource = self.known(table)
        new = body.get("schema", {}).get("fields", [])
        if resource["type"] == "TABLE" and new:
            self.add_columns(table, new)
        resource |= {key: value for key, value in body.items() if key in REMEMBERED}
        self.touch(table)
        return self.table(table)

    def add_columns(self, table: TableId, fields: Sequence[Field]) -> None:
        have = {field["name"].lower(): sql_type(field) for field in self.fields(table)}
        if missing := have.keys() - {field["name"].lower() for field in fields}:
            raise invalid(f"Provided Schema does not match Table {table}. Missing in new schema: {sorted(missing)}")
        for field in fields:
            if have.get(field["name"].lower(), sql_type(field)) != sql_type(field):
                raise missing_here(f"how to change the type of {table}.{field['name']}")
            if field["name"].lower() not in have:
                definition = f'"{field["name"]}" {duckdb_type(field)}'
                self._connection.execute(f"alter table {table.duckdb} add column {definition}")

    def drop_table(self, table: TableId) -> None:
        if self.known(table)["type"] == "TABLE":
            self._connection.execute(f"drop table {table.duckdb}")
        del self.tables[table]


def _with_notes(field: Field, noted: Field) -> Field:
    kept = {key: noted[key] for key in ("description", "policyTags") if key in noted}
    if noted.get("mode") == "REQUIRED":
        kept["mode"] = "REQUIRED"
    if field["type"] == "RECORD":
        inner = {child["name"].lower(): child for child in noted.get("fields", [])}
        kept["fields"] = [_with_notes(child, inner.get(child["name"].lower(), {})) for child in field["fields"]]
    return field | kept


def logical_bytes(fields: Sequence[Field]) -> str:
    """DuckDB expression: what these columns weigh in BigQuery's own count."""
    return " + ".join(f"coalesce(sum({_cell_bytes(field)}), 0)" for field in fields) or "0"


def _cell_bytes(field: Field) -> str:
    column = f'"{field["name"]}"'
    kind = field["type"]
    if field["mode"] != "REPEATED" and kind in FIXED_SIZES:
        return f"case when {column} is not null then {FIXED_SIZES[kind]} end"
    if kind == "BYTES" and field["mode"] != "REPEATED":
        return f"2 + octet_length({column})"
    # Records and arrays by the length of their text: near enough.
    return f"2 + octet_length(encode(cast({column} as varchar)))"
