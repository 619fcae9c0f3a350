"""One mapped file, found, opened and checked before a row of it is used."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa

from ml.contract.errors import MappingError
from orchestration.sources.derived import DERIVED
from orchestration.sources.embeddings import VECTORS
from orchestration.sources.file_columns import columns_of, empty_file, first_lines, is_parquet
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef
from orchestration.sources.sql_duckdb import DUCKDB, ROW_NUMBER


@dataclass(frozen=True)
class MappedColumn:
    """One column of ours and where it comes from."""

    ours: str
    ref: ColumnRef
    kind: pa.DataType

    @property
    def label(self) -> str:
        """How the mapping file names it."""
        return self.ours.replace(DERIVED, "derive.", 1).replace(VECTORS, "vectors.", 1)


@dataclass(frozen=True)
class FileScan:
    """A file whose columns are known and hold what the mapping says they hold."""

    path: Path
    table: SourceTable
    types: dict[str, str]
    """Column of the file: its DuckDB type; every column of a CSV is text."""

    @classmethod
    def of(cls, path: Path, table: SourceTable, *, needed: list[str]) -> Self:
        """The file, sure to have the columns needed.

        Raises:
            MappingError: it is empty, has another separator, or lacks a column.
        """
        scan = cls(path, table, columns_of(path, table))
        scan._require(needed)
        return scan

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own, in whose time zone the file's instants are read.

        Raises:
            MappingError: a row cannot be read at all.
        """
        with duckdb.connect() as connection:
            connection.execute(f"set TimeZone = {DUCKDB.literal(self.table.timezone)}").fetchall()
            try:
                yield connection
            except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
                raise MappingError(
                    f"Every row of {self.path.name} must have the {len(self.types)} columns of its first line, in {self.table.encoding}. "
                    f"Received: {first_lines(error)}. Correct the file, or `separator` and `encoding`."
                ) from error

    @property
    def rows_sql(self) -> str:
        """A relation of all rows, each with its number."""
        if is_parquet(self.path):
            return f"(select *, file_row_number + 1 as {ROW_NUMBER} from read_parquet({DUCKDB.literal(str(self.path))}, file_row_number = true))"
        columns = ", ".join(f"{DUCKDB.literal(column)}: 'VARCHAR'" for column in self.types)
        options = (
            f"auto_detect = false, header = true, delim = {DUCKDB.literal(self.table.separator)}, quote = '\"', escape = '\"', "
            f"nullstr = [''], encoding = {DUCKDB.literal(self.table.encoding)}, columns = {{{columns}}}"
        )
        return f"(select row_number() over () as {ROW_NUMBER}, * from read_csv({DUCKDB.literal(str(self.path))}, {options}))"

    def value(self, column: MappedColumn) -> str:
        """The cell as the contract wants it."""
        return DUCKDB.typed(column.ref, column.kind, self.types[column.ref.column], self.table)

    def check(self, columns: Sequence[MappedColumn]) -> None:
        """Read the file once, and be sure of it.

        Raises:
            MappingError: no row, a column of nulls, or a cell that is not what its column must hold.
        """
        parts = ["count(*) as num_rows"]
        for n, column in enumerate(columns):
            raw = DUCKDB.text(ColumnRef(column=column.ref.column), self.types[column.ref.column])
            bad = (
                f"{raw} is not null and {self.value(column)} is null"
                if not pa.types.is_string(column.kind)
                else "false"
            )
            parts += [
                f"count({raw}) as filled_{n}",
                f"count(*) filter ({bad}) as bad_{n}",
                f"min({ROW_NUMBER}) filter ({bad}) as row_{n}",
                f"arg_min({raw}, {ROW_NUMBER}) filter ({bad}) as value_{n}",
            ]
        with self.connect() as connection:
            found = connection.sql(f"select {', '.join(parts)} from {self.rows_sql}").to_arrow_table().to_pylist()[0]
        if not found["num_rows"]:
            raise empty_file(self.path)
        for n, column in enumerate(columns):
            if not found[f"filled_{n}"]:
                raise self._all_null(column, found["num_rows"])
            if found[f"bad_{n}"]:
                raise self._unreadable(column, found[f"bad_{n}"], found[f"row_{n}"], found[f"value_{n}"])

    def _require(self, needed: list[str]) -> None:
        for column in needed:
            if column not in self.types:
                near = get_close_matches(column, list(self.types), n=1, cutoff=0.5)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                raise MappingError(
                    f"{self.path.name} must have the column {column!r}. Received the columns: {', '.join(self.types)}. "
                    f"{hint}Correct the mapping."
                )

    def _all_null(self, column: MappedColumn, num_rows: int) -> MappingError:
        return MappingError(
            f"Column {column.ref.column!r} of {self.path.name}, mapped to `{column.label}`, must hold values. "
            f"Received: nothing in any of its {num_rows} rows. Map another column, or leave `{column.label}` out if it is optional."
        )

    def _unreadable(self, column: MappedColumn, count: int, row: int, value: str) -> MappingError:
        return MappingError(
            f"Column {column.ref.column!r} of {self.path.name}, mapped to `{column.label}`, must hold {self._expected(column.kind)}. "
            f"Received: {value[:80]!r} in row {row}, and {count} such rows in all. {_remedy(column.kind)}"
        )

    def _expected(self, kind: pa.DataType) -> str:
        if pa.types.is_timestamp(kind):
            form = self.table.timestamp_format
            return f"instants of the form {form!r}" if form else "instants in ISO 8601"
        if pa.types.is_boolean(kind):
            return "true or false"
        if pa.types.is_list(kind):
            return "lists of numbers, as text [0.1, 0.2]"
        return f"numbers with {self.table.decimal!r} as the decimal sign"


def _remedy(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "Set `timestamp_format` to the form the file uses, or correct the file."
    if pa.types.is_boolean(kind) or pa.types.is_list(kind):
        return "Correct the file, or leave the column out."
    return "Set `decimal` to the sign the file uses, or correct the file."
