"""Runs jobs, one at a time, over the catalog and the objects of the local Cloud Storage."""

import threading
from typing import Any

import pyarrow as pa
from sqlglot import exp

from tests.local_gcp.bigquery import files
from tests.local_gcp.bigquery.catalog import Catalog
from tests.local_gcp.bigquery.dry_run import bytes_read
from tests.local_gcp.bigquery.errors import invalid, missing_here
from tests.local_gcp.bigquery.files import Objects
from tests.local_gcp.bigquery.information_schema import rows_of
from tests.local_gcp.bigquery.names import Names, TableId, parse_script
from tests.local_gcp.bigquery.parameters import parameters_of
from tests.local_gcp.bigquery.script import Outcome, Script
from tests.local_gcp.bigquery.translation import to_duckdb
from tests.local_gcp.bigquery.types import Field, arrow_type


class Engine:
    def __init__(self, objects: Objects) -> None:
        self.lock = threading.RLock()
        self.catalog = Catalog()
        self.objects = objects

    def run(self, query: dict[str, Any], project: str) -> Outcome:
        """The outcome of the last statement of a script; `query` is a JobConfigurationQuery."""
        with self.lock, self.catalog.cursor() as cursor:
            script = self._script(query, project, cursor)
            statements = parse_script(query["query"])
            outcome = Outcome("SELECT")
            for statement in statements:
                outcome = script.run(statement)
            return outcome

    def dry_run(self, query: dict[str, Any], project: str) -> tuple[list[Field], int]:
        """The columns a query would give and the bytes it would read. Of a script, or of DML: no columns, no bytes."""
        with self.lock, self.catalog.cursor() as cursor:
            script = self._script(query, project, cursor)
            statements = parse_script(query["query"])
            first = statements[0] if statements else None
            asked = first.expression if isinstance(first, exp.Create) else first
            if len(statements) != 1 or not isinstance(asked, exp.Query):
                return [], 0
            sql, fields = script.canonical(asked)
            return fields, bytes_read(self.catalog, cursor, sql)

    def _script(self, query: dict[str, Any], project: str, cursor: Any) -> Script:
        self.catalog.attach(project)

        def information_schema(view: str, owner: str, dataset: str | None) -> str:
            relation = f"_information_schema {view} {owner} {dataset}"
            cursor.register(relation, rows_of(view, self.catalog, project=owner, dataset=dataset))
            return relation

        default = query.get("defaultDataset") or {}
        names = Names(
            default.get("projectId") or project,
            default.get("datasetId"),
            self.catalog.view_query,
            information_schema,
            parameters_of(query),
        )
        return Script(self.catalog, names, cursor, self._export)

    def _export(self, options: dict[str, Any], rows: pa.Table) -> None:
        files.export(self.objects, options, rows)

    # -- tables as rows ------------------------------------------------------------------------------------------------

    def read(
        self, table: TableId, *, columns: list[str] | None = None, restriction: str = "", partition: str = ""
    ) -> tuple[pa.Table, list[Field]]:
        """Rows of a table as they are at this moment. `restriction` is a GoogleSQL condition."""
        with self.lock, self.catalog.cursor() as cursor:
            if self.catalog.view_query(table) is not None:
                raise invalid(f"{table} is a view; only tables can be read like this")
            fields = {field["name"].lower(): field for field in self.catalog.fields(table)}
            chosen = [fields[name.lower()] for name in columns] if columns else list(fields.values())
            conditions = [self._condition(restriction, table)] if restriction else []
            if partition:
                conditions.append(files.partition_condition(self.catalog.known(table), partition))
            listed = ", ".join(f'"{field["name"]}"' for field in chosen) or "1"
            where = f"where {' and '.join(conditions)}" if conditions else ""
            rows = cursor.sql(f"select {listed} from {table.duckdb} {where}").to_arrow_table()
            return rows.cast(pa.schema([(field["name"], arrow_type(field)) for field in chosen])), chosen

    def _condition(self, restriction: str, table: TableId) -> str:
        (select,) = parse_script(f"select 1 from x where {restriction}")
        names = Names(table.project, table.dataset, self.catalog.view_query, lambda *_: "")
        return f"({to_duckdb(select.args['where'].this.copy(), names)})"

    def create_view(self, table: TableId, body: dict[str, Any]) -> dict[str, Any]:
        """From tables.insert."""
        if body["view"].get("useLegacySql"):
            raise missing_here("legacy SQL")
        with self.lock, self.catalog.cursor() as cursor:
            query = {"query": body["view"]["query"], "defaultDataset": {"datasetId": table.dataset}}
            (statement,) = parse_script(query["query"])
            _, fields = self._script(query, table.project, cursor).canonical(statement)
            return self.catalog.create_table(table, body | {"schema": {"fields": fields}})

    def delete(self, table: TableId, partition: str) -> None:
        """The table, or one partition of it."""
        with self.lock:
            if not partition:
                self.catalog.drop_table(table)
                return
            condition = files.partition_condition(self.catalog.known(table), partition)
            with self.catalog.cursor() as cursor:
                cursor.execute(f"delete from {table.duckdb} where {condition}")

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def store(self, destination: dict[str, str], rows: pa.Table, *, disposition: str, metadata: dict[str, Any]) -> None:
        """The rows of a query in the destination its job names."""
        with self.lock, self.catalog.cursor() as cursor:
            cursor.register("_rows", rows)
            files.write(
                self.catalog,
                cursor,
                TableId.of(destination),
                "from _rows",
                disposition=disposition,
                metadata=metadata,
                partition=destination["tableId"].partition("$")[2] or None,
            )

    def load(self, load: dict[str, Any], payload: bytes | None) -> int:
        with self.lock, self.catalog.cursor() as cursor:
            return files.load(self.catalog, self.objects, cursor, load, payload)

    def copy(self, copy: dict[str, Any]) -> int:
        with self.lock, self.catalog.cursor() as cursor:
            return files.copy(self.catalog, cursor, copy)

    def extract(self, extract: dict[str, Any]) -> int:
        rows, _ = self.read(TableId.of(extract["sourceTable"]))
        return files.extract(self.objects, extract, rows)
