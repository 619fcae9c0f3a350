"""A mapping in BigQuery's words: for tables that stay where they are."""

import re
from typing import ClassVar

import pyarrow as pa

from ml.contract.columns import INSTANT, VECTOR
from ml.contract.errors import MappingError
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef
from orchestration.sources.sql import UNIX, MappingSql

NUMBERS = ("INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC")
CIVIL = ("DATETIME", "DATE")
"""Times that do not say their zone."""
_FLOATS = ("FLOAT", "FLOAT64")
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})
_DIRECTIVES = {
    **{letter: f"%{letter}" for letter in "aAbBdHIjmMpSyYz%"},
    # Parsing takes one digit or two in any case.
    **{f"-{letter}": f"%{letter}" for letter in "dmHIMSj"},
    "S.%f": "%E*S",
    "S.%g": "%E*S",
}
"""A mapping's strptime directives, and BigQuery's."""


class BigQuerySql(MappingSql):
    """Types are those of a table's schema."""

    types: ClassVar[dict[pa.DataType, str]] = {
        pa.string(): "string",
        pa.float64(): "float64",
        pa.int64(): "int64",
        pa.int32(): "int64",
        pa.bool_(): "bool",
        pa.date32(): "date",
        INSTANT: "timestamp",
        VECTOR: "array<float64>",
    }

    def name(self, column: str) -> str:
        return "`" + column.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def literal(self, text: str) -> str:
        return f"'{text.translate(_ESCAPES)}'"

    def cell(self, column: str, type_name: str) -> str:
        name = self.name(column)
        if type_name in _FLOATS:
            # As for files: 17850.0 means 17850. Beyond 2^53 a float is no id.
            whole = f"{name} = trunc({name}) and abs({name}) < 9007199254740992"
            return f"case when {whole} then cast(cast({name} as int64) as string) when not is_nan({name}) then cast({name} as string) end"
        return name if type_name == "STRING" else f"cast({name} as string)"

    def part(self, text: str, separator: str, place: int) -> str:
        return f"split({text}, {self.literal(separator)})[safe_ordinal({place})]"

    def matches(self, text: str, pattern: str) -> str:
        return f"regexp_contains({text}, {self.literal(pattern)})"

    def readable(self, text: str, kind: pa.DataType) -> str:
        return f"safe_cast({text} as {self.types[kind]})"

    def finite(self, number: str) -> str:
        return f"not (is_nan({number}) or is_inf({number}))"

    def number(self, ref: ColumnRef, type_name: str, decimal: str) -> str:
        if type_name in NUMBERS and ref.split is None:
            column = f"cast({self.name(ref.column)} as float64)"
            return f"case when {self.finite(column)} then {column} end" if type_name in _FLOATS else column
        return super().number(ref, type_name, decimal)

    def typed(self, ref: ColumnRef, kind: pa.DataType, type_name: str, table: SourceTable) -> str:
        if pa.types.is_boolean(kind) and type_name in ("INTEGER", "INT64"):
            return f"cast({self.name(ref.column)} as bool)"
        return super().typed(ref, kind, type_name, table)

    def instant(self, ref: ColumnRef, type_name: str, table: SourceTable) -> str:
        zone, form = self.literal(table.timezone), table.timestamp_format
        if type_name == "TIMESTAMP":
            return self.name(ref.column)
        if type_name in CIVIL:
            return f"timestamp({self.name(ref.column)}, {zone})"
        if form in UNIX:
            micros = f"({self.number(ref, type_name, '.')}) * {1_000_000 // UNIX[form]}"
            return f"safe.timestamp_micros(safe_cast({micros} as int64))"
        text = self.text(ref, type_name)
        if form is None:
            # With a zone of its own, a text cannot be given another.
            return f"coalesce(safe.timestamp({text}, {zone}), safe_cast({text} as timestamp))"
        return f"safe.parse_timestamp({self.literal(parse_format(form))}, {text}, {zone})"

    def vector(self, column: str, type_name: str) -> str:  # noqa: ARG002 - `UserTable` lets ARRAY<FLOAT64> through, nothing else
        return self.name(column)

    def length(self, vector: str) -> str:
        return f"array_length({vector})"

    def median(self, rows: str, key: str, value: str) -> tuple[str, str]:
        # The exact median is there as a window only.
        return (
            f"(select *, percentile_cont({value}, 0.5) over (partition by {key}) as median_of_key from {rows})",
            "any_value(median_of_key)",
        )


BIGQUERY = BigQuerySql()


def parse_format(form: str) -> str:
    """A strptime format of a mapping, as BigQuery writes it.

    >>> parse_format("%d.%m.%Y %-H:%M:%S.%f")
    '%d.%m.%Y %H:%M:%E*S'

    Raises:
        MappingError: a directive BigQuery cannot parse by.
    """
    return re.sub(r"%(S\.%[fg]|-?.)", lambda found: _directive(found[1], form), form)


def _directive(directive: str, form: str) -> str:
    if directive not in _DIRECTIVES:
        known = " ".join(f"%{name}" for name in _DIRECTIVES)
        raise MappingError(
            f"`timestamp_format` of a BigQuery table must be made of {known}. Received: %{directive} in {form!r}. "
            "Map a TIMESTAMP column, or add a view with one."
        )
    return _DIRECTIVES[directive]
