"""The five raw tables, however they come to be: written by us, or the shop's own, declared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Protocol

import pyarrow as pa

from orchestration.resources.warehouse import Warehouse

SCHEMA = "raw"
PARTITION = "landed_on"


@dataclass(frozen=True)
class RawDays:
    """The days [start, end] of one table."""

    rows_by_kind: dict[str, int]
    """Of interactions by event type, of impressions by surface."""
    table_rows: int | None
    """In the whole table, other days included; None where asking would read it through."""
    start: date
    end: date
    source: str
    layout: Mapping[str, str] = field(default_factory=dict)
    """How the shop's own table is stored."""
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return sum(self.rows_by_kind.values())


@dataclass(frozen=True)
class RawSnapshot:
    """A whole table as it stands."""

    rows: int | None
    """None where asking would read it through."""
    digest: str
    """Changes when the content does; whether also without is the table's own matter."""
    source: str
    layout: Mapping[str, str] = field(default_factory=dict)


class RawTables(Protocol):
    """`raw.interactions`, `raw.impressions`, `raw.items`, `raw.item_embeddings` and `raw.users` of one shop, with the columns of the contract."""

    def interactions(self, start: date, end: date) -> RawDays:
        """The days [start, end] of `raw.interactions` are what the source has for them."""
        ...

    def impressions(self, start: date, end: date) -> RawDays:
        """The same of `raw.impressions`, which is there, empty, where the shop logs none."""
        ...

    def items(self) -> RawSnapshot:
        """`raw.items` is the source's catalogue."""
        ...

    def item_embeddings(self) -> RawSnapshot:
        """`raw.item_embeddings` is what the catalogue's vector columns hold; it is there, empty, where it has none."""
        ...

    def users(self) -> RawSnapshot:
        """`raw.users` is the source's users."""
        ...


def rows_by_kind(warehouse: Warehouse, table: str, kind: str, *, start: date, end: date) -> dict[str, int]:
    """Rows of the window by the values of a column, most frequent first."""
    counts = warehouse.query(
        f"""
        select coalesce({kind}, 'null') as kind, count(*) as num_rows
        from {SCHEMA}.{table} where {PARTITION} between ? and ? group by 1 order by num_rows desc, kind
        """,
        [start, end],
    )
    return {row["kind"]: row["num_rows"] for row in counts.to_pylist()}


def digest_of(table: pa.Table) -> str:
    """A hash of the content: the same rows in the same order give the same."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sha256(sink.getvalue()).hexdigest()[:16]
