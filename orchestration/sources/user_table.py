"""One of the shop's own BigQuery tables, by its metadata: no row is read, so nothing is paid."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from ml.contract.errors import MappingError
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef
from orchestration.sources.sql_bigquery import CIVIL, NUMBERS

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, SchemaField, Table

INGESTION_TIME = {"_PARTITIONTIME": "TIMESTAMP", "_PARTITIONDATE": "DATE"}
"""Columns every table has that is partitioned by when BigQuery received a row."""
INSTANTS = ("TIMESTAMP", *CIVIL)
_TEXTS = ("STRING", "BOOLEAN", "BOOL", "TIME", *NUMBERS, *INSTANTS)
_VECTORS = ("ARRAY<FLOAT64>",)
_SQL_NAMES = {"FLOAT": "FLOAT64", "INTEGER": "INT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
"""Of the interface's names of types, those that SQL writes in another way."""
_UNIX = ("unix_seconds", "unix_milliseconds")


@dataclass(frozen=True)
class UserTable:
    """Where it is, its columns, and by which of them it is cut."""

    address: str
    """project.dataset.table"""
    mapped: SourceTable
    types: dict[str, str]
    """Column, in lower case: its type; `ARRAY<FLOAT64>` say of a repeated one."""
    partition: str | None
    """Column or pseudo-column; None where it is not partitioned by time, or a view."""
    clusters: tuple[str, ...]
    needs_filter: bool
    """Whether a query must bound the partition column."""
    kind: str
    """TABLE, VIEW, MATERIALIZED_VIEW, EXTERNAL ..."""
    state: str
    """Changes with every change of the table's content or shape."""
    num_rows: int | None
    """None of a view."""

    @classmethod
    def of(cls, client: "Client", mapped: SourceTable, *, location: str) -> Self:
        """The table as BigQuery describes it.

        Raises:
            MappingError: it is not there, not ours to read, or in another location.
        """
        table = _described(client, mapped)
        if table.location and table.location.upper() != location.upper():
            raise MappingError(
                f"{mapped.table} must be in AISLE_GCP_LOCATION, {location}. Received: {table.location}. Set that instead: "
                "BigQuery does not query across locations."
            )
        time = table.time_partitioning
        columns = {field.name.lower(): _type_of(field) for field in table.schema}
        return cls(
            address=f"{table.project}.{table.dataset_id}.{table.table_id}",
            mapped=mapped,
            types=columns
            | ({name.lower(): kind for name, kind in INGESTION_TIME.items()} if time and not time.field else {}),
            partition=(time.field or "_PARTITIONTIME") if time else None,
            clusters=tuple(table.clustering_fields or ()),
            needs_filter=bool(table.require_partition_filter),
            kind=table.table_type,
            state=f"{table.etag} {table.modified} {table.num_rows}",
            num_rows=table.num_rows if table.table_type == "TABLE" else None,
        )

    def type_of(self, column: str) -> str:
        return self.types[column.lower()]

    def is_cut_by(self, column: str) -> bool:
        """Whether bounds of this column are bounds of partitions."""
        if self.partition == "_PARTITIONTIME":
            return column.upper() in INGESTION_TIME
        return self.partition is not None and self.partition.lower() == column.lower()

    def require(self, columns: Iterable[str]) -> None:
        """Be sure of columns that only rules look at.

        Raises:
            MappingError: one is missing, or holds more than one value.
        """
        for column in columns:
            self._require(column, "a rule", _TEXTS)

    def require_day(self, column: str) -> None:
        """Be sure of the column that tells the day a row landed.

        Raises:
            MappingError: it is missing, or holds no day.
        """
        self._require(column, "`landed_on`", INSTANTS)

    def require_readable(self, label: str, ref: ColumnRef, kind: pa.DataType) -> None:
        """Be sure that a column can become one of ours.

        Raises:
            MappingError: it is missing, or of another type.
        """
        self._require(ref.column, f"`{label}`", self._readable_types(kind))

    def _readable_types(self, kind: pa.DataType) -> tuple[str, ...]:
        if pa.types.is_list(kind):
            return _VECTORS
        if pa.types.is_timestamp(kind):
            return (*INSTANTS, "STRING", *(NUMBERS if self.mapped.timestamp_format in _UNIX else ()))
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            return (*NUMBERS, "STRING")
        if pa.types.is_boolean(kind):
            return ("BOOLEAN", "BOOL", "INTEGER", "INT64", "STRING")
        return _TEXTS

    def _require(self, column: str, used_by: str, fitting: tuple[str, ...]) -> None:
        if column.lower() not in self.types:
            near = get_close_matches(column.lower(), list(self.types), n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise MappingError(
                f"{self.address} must have the column {column!r}, used by {used_by}. Received the columns: "
                f"{', '.join(self.types)}. {hint}Correct the mapping."
            )
        if self.type_of(column) not in fitting:
            raise MappingError(
                f"Column {column!r} of {self.address}, used by {used_by}, must be one of {', '.join(fitting)}. "
                f"Received: {self.type_of(column)}. Map another column, or a view that converts it."
            )

    def layout(self) -> dict[str, str]:
        """How it is stored, for the catalogue of assets."""
        return {
            "table": self.address,
            "partitioned_by": self.partition or "nothing",
            "clustered_by": ", ".join(self.clusters) or "nothing",
        }


def _described(client: "Client", mapped: SourceTable) -> "Table":
    from google.api_core.exceptions import Forbidden, NotFound

    assert mapped.table is not None  # a mapping of files is refused before
    address = mapped.table if mapped.table.count(".") >= 2 else f"{client.project}.{mapped.table}"
    try:
        return client.get_table(address)
    except NotFound as error:
        raise MappingError(
            f"`table` must name a table or view. Received: {address}, which is not there. Correct the mapping."
        ) from error
    except Forbidden as error:
        raise MappingError(
            f"{address} must be readable. Received: {error.message}. Grant BigQuery Data Viewer on it to the account Aisle runs as."
        ) from error


def _type_of(field: "SchemaField") -> str:
    kind = field.field_type.upper()
    return f"ARRAY<{_SQL_NAMES.get(kind, kind)}>" if field.mode == "REPEATED" else kind
