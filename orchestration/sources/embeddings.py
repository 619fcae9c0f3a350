"""The vector columns of a catalogue, as rows of `raw.item_embeddings`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from ml.contract.columns import RAW_ITEM_EMBEDDINGS, VECTOR
from orchestration.sources.mapping import DerivedItems, ItemsTable
from orchestration.sources.rules import ColumnRef, Normalisation, VectorColumn
from orchestration.sources.sql import MappingSql

VECTORS = "vectors_"
"""Before the name of a vector column among the columns of a catalogue."""


@dataclass(frozen=True)
class Embeddings:
    """What is read of a catalogue for its vectors."""

    items: ItemsTable
    vectors: Mapping[str, VectorColumn]

    @classmethod
    def of(cls, items: ItemsTable | DerivedItems) -> Self | None:
        """None of a catalogue without vector columns."""
        return cls(items, items.vectors) if isinstance(items, ItemsTable) and items.vectors else None

    @property
    def columns(self) -> dict[str, ColumnRef]:
        keys = {str(name): ref for name, ref in self.items.columns.items() if name in ("item_id", "created_at")}
        return {**keys, **{VECTORS + name: ColumnRef(column=each.column) for name, each in self.vectors.items()}}

    @property
    def schema(self) -> pa.Schema:
        """Of the columns, by our names."""
        keys = [RAW_ITEM_EMBEDDINGS.field(name) for name in ("item_id", "created_at")]
        return pa.schema([*keys, *(pa.field(VECTORS + name, VECTOR) for name in self.vectors)])

    @property
    def steps(self) -> dict[str, tuple[Normalisation, ...]]:
        """An item's id is that of the catalogue."""
        return {"item_id": self.items.normalise.get("item_id", ())}

    def sql(self, rows: str, sql: MappingSql) -> str:
        """One row per row of the relation and vector column that is filled there, with the columns of `RAW_ITEM_EMBEDDINGS`."""
        return " union all ".join(
            f"select item_id, created_at, {sql.literal(name)} as name, {each.length} as length, {VECTORS}{name} as vector "
            f"from {rows} as catalogue where {sql.length(VECTORS + name)} > 0"
            for name, each in self.vectors.items()
        )
