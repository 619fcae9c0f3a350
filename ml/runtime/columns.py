"""Single values out of Arrow's columns, read where they lie: a scalar of Arrow for each takes three times as long as the look."""

from typing import Any

import pyarrow as pa


class Column:
    """Values of a column without chunks, by row; None where there is none."""

    def __init__(self, column: pa.Array) -> None:
        self._column = column
        self._size, self._first = len(column), column.offset
        validity = column.buffers()[0]
        self._validity = memoryview(validity) if validity and column.null_count else None

    def __getitem__(self, row: int) -> Any:
        """
        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < self._size:
            raise IndexError(f"A row must be from 0 to {self._size - 1}. Received: {row}.")
        place = self._first + row
        if self._validity is not None and not self._validity[place >> 3] >> (place & 7) & 1:
            return None
        return self._at(place)

    def _at(self, place: int) -> Any:
        return self._column[place - self._first].as_py()


class Texts(Column):
    """Of a column of strings."""

    def __init__(self, column: pa.Array) -> None:
        super().__init__(column)
        _, starts, texts = column.buffers()
        self._starts, self._texts = memoryview(starts).cast("i"), memoryview(texts or b"")

    def _at(self, place: int) -> str:
        return str(self._texts[self._starts[place] : self._starts[place + 1]], "utf-8")


class Numbers(Column):
    """Of a column of doubles."""

    def __init__(self, column: pa.Array) -> None:
        super().__init__(column)
        self._numbers = memoryview(column.buffers()[1]).cast("d")

    def _at(self, place: int) -> float:
        return float(self._numbers[place])


def column_of(column: pa.Array) -> Column:
    """The fastest way to look into a column; of another type than strings and doubles, by Arrow."""
    if pa.types.is_string(column.type) and len(column):
        return Texts(column)
    if pa.types.is_float64(column.type) and len(column):
        return Numbers(column)
    return Column(column)
