"""A file under the names and types of the contract."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from orchestration.sources.file_scan import FileScan, MappedColumn
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef, Normalisation
from orchestration.sources.sql import normalised
from orchestration.sources.sql_duckdb import DUCKDB

BATCH_ROWS = 262_144


@dataclass(frozen=True)
class MappedTable:
    """A checked file, and which of its columns are which of ours."""

    scan: FileScan
    columns: tuple[MappedColumn, ...]
    schema: pa.Schema
    steps: Mapping[str, tuple[Normalisation, ...]]

    @classmethod
    def open(
        cls,
        path: Path,
        table: SourceTable,
        *,
        columns: Mapping[Any, ColumnRef],
        schema: pa.Schema,
        steps: Mapping[Any, tuple[Normalisation, ...]] | None = None,
        also: Sequence[MappedColumn] = (),
        needed: Sequence[str] = (),
    ) -> Self:
        """The file, read through once and found to be what the mapping says.

        Args:
            also: Columns outside the schema.
            needed: Columns of the file that rules look at.

        Raises:
            MappingError: it is not.
        """
        own = [MappedColumn(ours, ref, schema.field(ours).type) for ours, ref in columns.items()]
        mapped = (*own, *also)
        scan = FileScan.of(path, table, needed=[*(column.ref.column for column in mapped), *needed])
        scan.check(mapped)
        return cls(scan, mapped, schema, steps or {})

    def sql(self, more: Mapping[str, str] | None = None) -> str:
        """A relation with every column of the schema, null where the file has none, and with `more` (name: expression)."""
        own = {
            column.ours: normalised(self.scan.value(column), self.steps.get(column.ours, ())) for column in self.columns
        }
        empty = {name: "null" for name in self.schema.names if name != "landed_on"}
        parts = [
            f"{DUCKDB.cast(value, self._kind(name))} as {DUCKDB.name(name)}"
            for name, value in {**empty, **own, **(more or {})}.items()
        ]
        return f"(select {', '.join(parts)} from {self.scan.rows_sql})"

    def read(self, sql: str) -> Iterator[pa.Table]:
        """The rows of a query over `sql()`, in pieces."""
        with self.scan.connect() as connection:
            for batch in connection.sql(sql).to_arrow_reader(BATCH_ROWS):
                yield pa.Table.from_batches([batch])

    def read_all(self, sql: str) -> pa.Table:
        with self.scan.connect() as connection:
            return connection.sql(sql).to_arrow_table()

    def _kind(self, name: str) -> pa.DataType:
        return self.schema.field(name).type if name in self.schema.names else pa.string()
