"""What a query would read, from DuckDB's plan: the columns it touches, of the partitions its filters leave.

https://cloud.google.com/bigquery/docs/estimate-costs. Only filters on the partitioning column that reach DuckDB's scan count.
"""

import json
from collections.abc import Iterator
from typing import Any

import duckdb
from sqlglot import exp, parse_one

from tests.local_gcp.bigquery.catalog import Catalog, logical_bytes
from tests.local_gcp.bigquery.names import TableId


def bytes_read(catalog: Catalog, cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Logical bytes of one query in DuckDB's words."""
    plan = json.loads(cursor.execute(f"explain (format json) {sql}").fetchall()[0][1])
    return sum(_scanned(catalog, cursor, scan) for scan in _scans(plan))


def _scans(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in plan:
        if node["name"].strip() == "SEQ_SCAN":
            yield node["extra_info"]
        yield from _scans(node["children"])


def _scanned(catalog: Catalog, cursor: duckdb.DuckDBPyConnection, scan: dict[str, Any]) -> int:
    place = parse_one(scan["Table"], into=exp.Table, read="duckdb")
    table = TableId(place.catalog, place.db, place.name)
    if table not in catalog.tables:  # a temporary table
        return 0
    filters = [parse_one(text.removeprefix("optional: "), read="duckdb") for text in _listed(scan.get("Filters"))]
    read = {name.strip('"') for name in _listed(scan.get("Projections"))} | set().union(*map(_columns, filters))
    fields = [field for field in catalog.fields(table) if field["name"] in read]
    partition = (catalog.known(table).get("timePartitioning") or {}).get("field")
    pruning = [condition.sql("duckdb") for condition in filters if _columns(condition) == {partition}]
    conditions = " and ".join(pruning) or "true"
    return cursor.execute(f"select {logical_bytes(fields)} from {table.duckdb} where {conditions}").fetchone()[0]


def _columns(condition: exp.Expr) -> set[str]:
    return {column.name for column in condition.find_all(exp.Column)}


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []
