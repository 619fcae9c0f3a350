"""The two kinds of SQL our queries are written for."""

from typing import Literal, assert_never

SqlDialect = Literal["duckdb", "bigquery"]


def days_between(earlier: str, later: str, dialect: SqlDialect) -> str:
    """Whole days from one date to another, as an expression."""
    match dialect:
        case "duckdb":
            return f"date_diff('day', {earlier}, {later})"
        case "bigquery":
            return f"date_diff({later}, {earlier}, day)"
        case unknown:
            assert_never(unknown)
