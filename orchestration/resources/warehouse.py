"""What every warehouse can do. The SQL that comes in must run on all of them: `tests/orchestration/resources` holds them to it."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import ClassVar

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from ml.contract.errors import ContractError
from orchestration.dialect import SqlDialect

BATCH_ROWS = 262_144
"""Rows of a batch read, and of a row group written."""

Parameter = str | int | float | date | datetime
"""What may stand for a `?`. An instant without a zone is UTC."""


class Warehouse(dg.ConfigurableResource[None]):
    """Tables in schemas, asked by SQL, read and written as Arrow. Instants are UTC and come out without a zone."""

    dialect: ClassVar[SqlDialect]

    @abstractmethod
    def query(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.Table:
        """The whole answer at once."""

    @abstractmethod
    def batches(
        self, sql: str, parameters: Sequence[Parameter] = (), *, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The answer in pieces of at most `rows` rows, for what does not fit into memory."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Parameter] = ()) -> None:
        """Run one statement that changes something."""

    @abstractmethod
    def table_exists(self, schema: str, name: str) -> bool:
        """Whether there is such a table or view."""

    @abstractmethod
    def replace_table(self, schema: str, name: str, rows: pa.Table) -> None:
        """The table becomes these rows, and has their columns. It is made where it is missing."""

    @abstractmethod
    def replace_days(
        self,
        schema: str,
        name: str,
        tables: Iterator[pa.Table],
        shape: pa.Schema,
        *,
        day: str,
        start: date,
        end: date,
        cluster_by: Sequence[str] = (),
    ) -> None:
        """The days [start, end] of the table become these rows: all of them or, when anything raises, none, and no table
        where there was none. Other days stay as they are.

        Args:
            tables: Pieces of the window, read once.
            shape: Columns of the table, which is made where it is missing.
            day: The date column whose values are the table's partitions.
            cluster_by: Columns by which rows of a day lie together, where the warehouse knows such a thing.

        Raises:
            ContractError: a row lies outside the window.
        """

    @abstractmethod
    def export(self, sql: str, uri: str) -> list[str]:
        """The answer as Parquet files (zstd) in an empty or new folder; their addresses.

        Raises:
            ContractError: the folder holds something, or is not one this warehouse can write to.
        """


def checked_days(rows: pa.Table, *, day: str, start: date, end: date) -> pa.Table:
    """The same rows, all of them of the days [start, end]: others would be there twice after the next landing.

    Raises:
        ContractError: a row lies outside, or on no day.
    """
    days = rows[day]
    inside = pc.and_(pc.greater_equal(days, start), pc.less_equal(days, end))
    if not pc.all(pc.fill_null(inside, False), min_count=0).as_py():
        found = pc.min_max(days).as_py()
        raise ContractError(
            f"Every row must have a `{day}` from {start} to {end}. Received: {found['min']} to {found['max']}, "
            f"{days.null_count} of {len(days)} without one. Correct the source."
        )
    return rows
