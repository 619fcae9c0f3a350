"""Ids to row numbers and back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ml.contract.errors import ContractError
from ml.contract.types import Rows


@dataclass(frozen=True)
class Vocabulary:
    """Distinct ids in a fixed order; an id's row is its position. Ids outside it have row -1."""

    ids: pa.StringArray

    @classmethod
    def fit(cls, ids: Iterable[str | None]) -> Self:
        """The distinct non-null ids, sorted, so that the same set always gives the same rows."""
        return cls.of(sorted({value for value in ids if value is not None}))

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """The ids in the order given.

        Raises:
            ContractError: an id is null or occurs twice.
        """
        array = pa.array(ids, type=pa.string())
        if array.null_count or len(array.unique()) != len(array):
            raise ContractError("A vocabulary holds each id once and no null. Received: nulls or duplicates.")
        return cls(array)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {value: row for row, value in enumerate(self.ids.to_pylist())}

    def row(self, value: str | None) -> int:
        """Row of one id, -1 when unknown."""
        return -1 if value is None else self._row_of.get(value, -1)

    def rows(self, values: pa.Array | pa.ChunkedArray | Sequence[str | None]) -> Rows:
        """Rows of many ids `[n]`, -1 where unknown or null."""
        array = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, type=pa.string())
        found = pa.compute.index_in(array.cast(pa.string()), value_set=self.ids)
        if isinstance(found, pa.ChunkedArray):
            found = found.combine_chunks()
        rows: Rows = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        if array.null_count:  # index_in finds null in a value set that holds one; ours never does
            rows[array.is_null().to_numpy(zero_copy_only=False)] = -1
        return rows

    @cached_property
    def _id_of(self) -> list[str]:
        """The very strings of `_row_of`, so they take no memory of their own."""
        return list(self._row_of)

    def id(self, row: int) -> str:
        """The id of a row from 0 on."""
        return self._id_of[row]

    def save(self, path: Path) -> None:
        """One id per line is not safe for ids that hold a line break, so: Arrow."""
        table = pa.table({"id": self.ids})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, path: Path) -> Self:
        with pa.OSFile(str(path), "rb") as source:
            return cls(pa.ipc.open_file(source).read_all().column("id").combine_chunks())
