"""BigQuery's types in the words of DuckDB, of Arrow and of the REST interface."""

import base64
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tests.local_gcp.bigquery.errors import missing_here

Field = dict[str, Any]
"""A TableFieldSchema: name, type, mode, and the fields of a RECORD."""

DUCKDB_TYPES = {
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMPTZ",
    "NUMERIC": "DECIMAL(38,9)",
    "JSON": "JSON",
}
SQL_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
API_NAMES = {sql: api for api, sql in SQL_NAMES.items()} | {"STRUCT": "RECORD", "DECIMAL": "NUMERIC"}
API_OF_DUCKDB = {
    "bigint": "INTEGER",
    "double": "FLOAT",
    "boolean": "BOOLEAN",
    "varchar": "STRING",
    "blob": "BYTES",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "DATETIME",
    "timestamp with time zone": "TIMESTAMP",
    "decimal": "NUMERIC",
    # What DuckDB has and BigQuery has not, as the type BigQuery would have used. A null without a type is an INT64.
    **dict.fromkeys(
        ["tinyint", "smallint", "integer", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "null"], "INTEGER"
    ),
    "float": "FLOAT",
    **dict.fromkeys(["uuid", "enum"], "STRING"),
    **dict.fromkeys(["timestamp_s", "timestamp_ms", "timestamp_ns"], "DATETIME"),
}
ARROW_TYPES = {
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "NUMERIC": pa.decimal128(38, 9),
    "JSON": pa.string(),
}


def api_name(name: str) -> str:
    """`INT64` and `INTEGER` are one type; the interface says INTEGER."""
    return API_NAMES.get(name.upper(), name.upper())


def field_of(name: str, duckdb_type: Any) -> Field:
    """The column as the interface describes it."""
    if duckdb_type.id == "list":
        element = field_of(name, duckdb_type.child)
        if element["mode"] == "REPEATED":
            raise missing_here("arrays of arrays; neither does the real one")
        return element | {"mode": "REPEATED"}
    if duckdb_type.id == "struct":
        fields = [field_of(*child) for child in duckdb_type.children]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": fields}
    kind = "JSON" if str(duckdb_type) == "JSON" else API_OF_DUCKDB.get(duckdb_type.id)
    if kind is None:
        raise missing_here(f"the type {duckdb_type} of column {name}")
    return {"name": name, "type": kind, "mode": "NULLABLE"}


def duckdb_type(field: Field) -> str:
    kind = api_name(field["type"])
    if kind == "RECORD":
        members = ", ".join(f'"{inner["name"]}" {duckdb_type(inner)}' for inner in field["fields"])
        base = f"STRUCT({members})"
    elif kind in DUCKDB_TYPES:
        base = DUCKDB_TYPES[kind]
    else:
        raise missing_here(f"the type {kind}")
    return base + ("[]" if field.get("mode") == "REPEATED" else "")


def sql_type(field: Field) -> str:
    """The type as INFORMATION_SCHEMA writes it, such as ARRAY<STRUCT<a INT64>>."""
    kind = api_name(field["type"])
    if kind == "RECORD":
        base = "STRUCT<" + ", ".join(f"{inner['name']} {sql_type(inner)}" for inner in field["fields"]) + ">"
    else:
        base = SQL_NAMES.get(kind, kind)
    return f"ARRAY<{base}>" if field.get("mode") == "REPEATED" else base


def arrow_type(field: Field) -> pa.DataType:
    kind = api_name(field["type"])
    base = (
        pa.struct([(inner["name"], arrow_type(inner)) for inner in field["fields"]])
        if kind == "RECORD"
        else ARROW_TYPES[kind]
    )
    return pa.list_(pa.field("item", base)) if field.get("mode") == "REPEATED" else base


def column_definitions(fields: Sequence[Field]) -> str:
    required = {"REQUIRED": " NOT NULL"}
    return ", ".join(
        f'"{field["name"]}" {duckdb_type(field)}{required.get(field.get("mode", ""), "")}' for field in fields
    )


# -- rows as JSON: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list -----------------------------


def json_rows(table: pa.Table, fields: Sequence[Field], *, integer_timestamps: bool) -> list[dict]:
    """Rows of cells `{"v": ...}`; all scalars are strings, as in the interface."""
    columns = [_column(column, field, integer_timestamps) for column, field in zip(table.columns, fields, strict=True)]
    return [{"f": [{"v": value} for value in row]} for row in zip(*columns, strict=True)]


def _column(column: pa.ChunkedArray, field: Field, integer_timestamps: bool) -> list[Any]:
    kind = api_name(field["type"])
    if field.get("mode") != "REPEATED" and kind in ("INTEGER", "STRING", "BOOLEAN", "JSON"):
        return pc.cast(column, pa.string()).to_pylist()
    encode = _encoder(field, integer_timestamps)
    return [encode(value) for value in column.to_pylist()]


def _encoder(field: Field, integer_timestamps: bool) -> Callable[[Any], Any]:
    if field.get("mode") == "REPEATED":
        element = _encoder(field | {"mode": "NULLABLE"}, integer_timestamps)
        return lambda values: [{"v": element(value)} for value in values or []]
    kind = api_name(field["type"])
    if kind == "RECORD":
        members = {inner["name"]: _encoder(inner, integer_timestamps) for inner in field["fields"]}
        encode: Callable[[Any], Any] = lambda row: {"f": [{"v": members[name](row[name])} for name in members]}  # noqa: E731
    elif kind == "TIMESTAMP":
        encode = _microseconds if integer_timestamps else lambda at: repr(int(_microseconds(at)) / 1e6)
    else:
        encode = SCALAR_ENCODERS.get(kind, str)
    return lambda value: None if value is None else encode(value)


def _microseconds(at: datetime) -> str:
    whole = int(at.replace(microsecond=0).timestamp())
    return str(whole * 1_000_000 + at.microsecond)


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _numeric(value: Decimal) -> str:
    return f"{value.normalize():f}"


SCALAR_ENCODERS: dict[str, Callable[[Any], str]] = {
    "BOOLEAN": lambda value: "true" if value else "false",
    "FLOAT": _float,
    "NUMERIC": _numeric,
    "DATETIME": datetime.isoformat,
    "BYTES": lambda value: base64.b64encode(value).decode(),
}
