"""Vectors of what the catalogue says of its items, by an encoder of one's own."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

import pyarrow as pa

from ml.contract.columns import ENCODED_TEXT, RAW_ITEM_TEXT_EMBEDDINGS, VECTOR
from ml.dataset.text_encoder import TextEncoder, text_of
from orchestration.resources.warehouse import Warehouse
from orchestration.sources.raw_tables import SCHEMA

TABLE = "item_text_embeddings"


@dataclass(frozen=True)
class TextEmbeddings:
    """Rows of `raw.item_text_embeddings`."""

    rows: pa.Table
    num_encoded: int
    """Texts that no earlier run had encoded: reading one takes milliseconds, and a catalogue changes by little."""

    @classmethod
    def none(cls) -> Self:
        return cls(RAW_ITEM_TEXT_EMBEDDINGS.empty_table(), 0)

    @classmethod
    def of(cls, warehouse: Warehouse, encoder: TextEncoder) -> Self:
        """Of the titles and descriptions in `raw.items`; an item of which neither is said has no vector."""
        items = warehouse.query(
            f"select item_id, created_at, title, description from {SCHEMA}.items order by item_id, created_at, title, description"
        )
        said = [
            text_of(*both) for both in zip(items["title"].to_pylist(), items["description"].to_pylist(), strict=True)
        ]
        named = [place for place, text in enumerate(said) if text]
        texts = [said[place] for place in named]
        digests = [sha256(f"{encoder.digest} {text}".encode()).hexdigest()[:32] for text in texts]
        known = _known(warehouse)
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        encoded = pa.array(encoder.encode(list(missing.values())).astype("float64").tolist(), VECTOR)
        known |= dict(zip(missing, encoded, strict=True))
        rows = items.take(pa.array(named, pa.int64())).select(["item_id", "created_at"])
        columns: dict[str, Any] = {
            "name": pa.repeat(ENCODED_TEXT, len(named)),
            "length": pa.repeat(encoder.length, len(named)),
            "vector": pa.array([known[digest].as_py() for digest in digests], VECTOR),
            "text_digest": digests,
        }
        for name, column in columns.items():
            rows = rows.append_column(RAW_ITEM_TEXT_EMBEDDINGS.field(name), pa.array(column))
        return cls(rows.cast(RAW_ITEM_TEXT_EMBEDDINGS), len(missing))

    def summary(self) -> dict[str, int]:
        return {"dagster/row_count": len(self.rows), "encoded": self.num_encoded}

    def land(self, warehouse: Warehouse) -> None:
        warehouse.replace_table(SCHEMA, TABLE, self.rows)


def _known(warehouse: Warehouse) -> dict[str, Any]:
    """Vectors of an earlier run by the digests of text and encoder."""
    if not warehouse.table_exists(SCHEMA, TABLE):
        return {}
    stored = warehouse.query(f"select text_digest, vector from {SCHEMA}.{TABLE}")
    return dict(zip(stored["text_digest"].to_pylist(), stored["vector"], strict=True))
