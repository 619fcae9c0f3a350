"""A mapping in DuckDB's words: for files."""

from typing import ClassVar

import pyarrow as pa

from ml.contract.columns import INSTANT, VECTOR
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef
from orchestration.sources.sql import UNIX, MappingSql

ROW_NUMBER = '"#row"'
"""Number of the row in its file, from 1; a name no file uses."""


class DuckDBSql(MappingSql):
    """Types are DuckDB's, those of a CSV all VARCHAR."""

    types: ClassVar[dict[pa.DataType, str]] = {
        pa.string(): "varchar",
        pa.float64(): "double",
        pa.int64(): "bigint",
        pa.int32(): "integer",
        pa.bool_(): "boolean",
        pa.date32(): "date",
        INSTANT: "timestamp",
        VECTOR: "double[]",
    }

    def name(self, column: str) -> str:
        return '"' + column.replace('"', '""') + '"'

    def literal(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def cell(self, column: str, type_name: str) -> str:
        name = self.name(column)
        if type_name in ("DOUBLE", "FLOAT"):
            # Ids that passed through pandas with a gap are floats: 17850.0 means 17850.
            return f"case when {name} = trunc({name}) then cast(cast({name} as hugeint) as varchar) else cast(nullif({name}, 'nan') as varchar) end"
        return name if type_name == "VARCHAR" else f"cast({name} as varchar)"

    def part(self, text: str, separator: str, place: int) -> str:
        return f"split_part({text}, {self.literal(separator)}, {place})"

    def matches(self, text: str, pattern: str) -> str:
        return f"regexp_matches({text}, {self.literal(pattern)})"

    def readable(self, text: str, kind: pa.DataType) -> str:
        return f"try_cast({text} as {self.types[kind]})"

    def finite(self, number: str) -> str:
        return f"isfinite({number})"

    def instant(self, ref: ColumnRef, type_name: str, table: SourceTable) -> str:
        # The session's time zone is the table's.
        return f"timezone('UTC', {self._zoned(ref, type_name, table.timestamp_format)})"

    def median(self, rows: str, key: str, value: str) -> tuple[str, str]:  # noqa: ARG002 - grouping is enough here
        return rows, f"median({value})"

    def vector(self, column: str, type_name: str) -> str:  # noqa: ARG002 - lists of numbers and texts like [0.1, 0.2] alike
        return f"try_cast({self.name(column)} as {self.types[VECTOR]})"

    def length(self, vector: str) -> str:
        return f"len({vector})"

    def _zoned(self, ref: ColumnRef, type_name: str, timestamp_format: str | None) -> str:
        if timestamp_format in UNIX:
            return f"to_timestamp({self.number(ref, type_name, '.')} / {UNIX[timestamp_format]})"
        if type_name.startswith("TIMESTAMP") or type_name == "DATE":
            return f"cast({self.name(ref.column)} as timestamptz)"
        text = self.text(ref, type_name)
        if timestamp_format is None:
            return f"try_cast({text} as timestamptz)"
        return f"cast(try_strptime({text}, {self.literal(timestamp_format)}) as timestamptz)"


DUCKDB = DuckDBSql()
