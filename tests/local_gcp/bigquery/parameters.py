"""Query parameters as literals. https://cloud.google.com/bigquery/docs/parameterized-queries"""

import base64
from typing import Any

from sqlglot import exp

from tests.local_gcp.bigquery.errors import invalid, missing_here
from tests.local_gcp.bigquery.types import api_name, duckdb_type


def parameters_of(query: dict[str, Any]) -> dict[str, exp.Expr]:
    """By lower-case name; the n-th positional one is `_n`."""
    given = query.get("queryParameters") or []
    return {
        parameter.get("name", "").lower() or f"_{position}": literal(
            parameter["parameterType"], parameter.get("parameterValue", {})
        )
        for position, parameter in enumerate(given, 1)
    }


def literal(kind: dict[str, Any], value: dict[str, Any]) -> exp.Expr:
    if kind["type"] == "STRUCT":
        raise missing_here("parameters of type STRUCT")
    if kind["type"] == "ARRAY":
        field = {"name": "", "type": kind["arrayType"]["type"], "mode": "REPEATED"}
        elements = [literal(kind["arrayType"], item) for item in value.get("arrayValues", [])]
        return exp.cast(exp.Array(expressions=elements), duckdb_type(field), dialect="duckdb")
    if value.get("value") is None:
        return exp.cast(exp.Null(), duckdb_type({"type": kind["type"]}), dialect="duckdb")
    return _scalar(api_name(kind["type"]), value["value"])


def _scalar(kind: str, text: str) -> exp.Expr:
    if kind == "BYTES":
        hexadecimal = exp.Literal.string(base64.b64decode(text).hex())
        return exp.Anonymous(this="unhex", expressions=[hexadecimal])
    if kind == "INTEGER" and not text.lstrip("+-").isdigit():
        raise invalid(f"Invalid value for type INT64: '{text}' is not a valid value")
    return exp.cast(exp.Literal.string(text), duckdb_type({"type": kind}), dialect="duckdb")
