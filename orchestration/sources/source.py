"""What every source of raw tables can do."""

from collections.abc import Iterator
from datetime import date
from typing import Protocol

import pyarrow as pa


class Source(Protocol):
    """A shop's raw tables, with the columns of `ml.contract.columns.RAW_*`.

    `landed_on` is the day a row arrived. Asking for the same days again gives the same rows again, as far as the source
    itself has not changed.
    """

    def first_day(self) -> date: ...

    def last_day(self) -> date: ...

    def interactions(self, start: date, end: date) -> Iterator[pa.Table]:
        """Rows that arrived in [start, end], in pieces."""
        ...

    def impressions(self, start: date, end: date) -> Iterator[pa.Table]:
        """Shown places that arrived in [start, end], in pieces; none where the shop does not log them."""
        ...

    def items(self) -> pa.Table:
        """The catalogue as it stands."""
        ...

    def item_embeddings(self) -> pa.Table:
        """The vectors of the catalogue's vector columns; none where the shop has none."""
        ...

    def users(self) -> pa.Table:
        """The users known today."""
        ...

    def describe(self) -> str:
        """Where the rows come from, in a few words."""
        ...
