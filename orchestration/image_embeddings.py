"""Vectors of the pictures of items, by a network of one's own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

import numpy as np
import pyarrow as pa

from ml.contract.columns import ENCODED_IMAGE, RAW_ITEM_IMAGE_EMBEDDINGS, VECTOR
from ml.dataset.pictures import PictureFolder, Pixels, Unusable, pixels_of
from ml.retrieval.image_encoder import ImageEncoder
from orchestration.resources.warehouse import Warehouse
from orchestration.sources.raw_tables import SCHEMA

TABLE = "item_image_embeddings"
BATCH = 32
"""Pictures encoded at once."""


@dataclass(frozen=True)
class ImageEmbeddings:
    """Rows of `raw.item_image_embeddings`."""

    rows: pa.Table
    num_encoded: int
    """Pictures that no earlier run had encoded."""

    @classmethod
    def none(cls) -> Self:
        return cls(RAW_ITEM_IMAGE_EMBEDDINGS.empty_table(), 0)

    @classmethod
    def of(cls, warehouse: Warehouse, encoder: ImageEncoder, folder: PictureFolder) -> Self:
        """Of the paths in `raw.items`; an item without one has no row, one whose picture cannot be used has its reason in place of numbers."""
        items = warehouse.query(
            f"select item_id, created_at, image_path from {SCHEMA}.items where nullif(trim(image_path), '') is not null "
            "order by item_id, created_at, image_path"
        )
        gallery = _Gallery.known(warehouse)
        num_known = len(gallery.places)
        paths = items["image_path"].to_pylist()
        seen = gallery.look_at(sorted(set(paths)), encoder, folder)
        columns: dict[str, Any] = {
            "name": pa.repeat(ENCODED_IMAGE, len(paths)),
            "length": pa.repeat(encoder.length, len(paths)),
            "vector": gallery.vectors_of([seen[path] for path in paths]),
            "image_digest": [seen[path].digest for path in paths],
            "reason": [seen[path].reason for path in paths],
        }
        rows = items.select(["item_id", "created_at"])
        for name, column in columns.items():
            kind = RAW_ITEM_IMAGE_EMBEDDINGS.field(name)
            rows = rows.append_column(kind, pa.array(column, kind.type) if isinstance(column, list) else column)
        return cls(rows.cast(RAW_ITEM_IMAGE_EMBEDDINGS), len(gallery.places) - num_known)

    def summary(self) -> dict[str, int]:
        reasons = self.rows["reason"].drop_null().value_counts().to_pylist()
        counts = {f"unusable/{each['values']}": each["counts"] for each in reasons}
        return {"dagster/row_count": len(self.rows), "encoded": self.num_encoded, **counts}

    def land(self, warehouse: Warehouse) -> None:
        warehouse.replace_table(SCHEMA, TABLE, self.rows)


@dataclass(frozen=True)
class _Seen:
    """What came of one file."""

    digest: str | None = None
    """Of its bytes and of the network; None where there are none."""
    reason: str | None = None


@dataclass
class _Gallery:
    """Vectors by the digest of what they are of."""

    places: dict[str, int]
    vectors: list[pa.Array] = field(default_factory=list)

    @classmethod
    def known(cls, warehouse: Warehouse) -> Self:
        """Of an earlier run."""
        if not warehouse.table_exists(SCHEMA, TABLE):
            return cls({})
        stored = warehouse.query(f"select image_digest, vector from {SCHEMA}.{TABLE} where reason is null")
        digests = stored["image_digest"].to_pylist()
        return cls({digest: place for place, digest in enumerate(digests)}, stored["vector"].cast(VECTOR).chunks)

    def look_at(self, paths: Sequence[str], encoder: ImageEncoder, folder: PictureFolder) -> dict[str, _Seen]:
        """Each file read once, and encoded where its content is new."""
        seen: dict[str, _Seen] = {}
        fresh: dict[str, Pixels] = {}
        for path in paths:
            seen[path], pixels = self._look(path, encoder, folder, waiting=fresh)
            if pixels is not None:
                fresh[str(seen[path].digest)] = pixels
            if len(fresh) == BATCH:
                self._add(fresh, encoder)
                fresh = {}
        self._add(fresh, encoder)
        return seen

    def vectors_of(self, seen: Iterable[_Seen]) -> pa.ChunkedArray:
        """One list each, empty where there is a reason."""
        nothing = pa.array([[]], VECTOR)
        every = pa.chunked_array([*self.vectors, nothing], VECTOR)
        last = len(every) - 1
        places = [last if each.reason else self.places[str(each.digest)] for each in seen]
        return every.take(pa.array(places, pa.int64()))

    def _look(
        self, path: str, encoder: ImageEncoder, folder: PictureFolder, *, waiting: dict[str, Pixels]
    ) -> tuple[_Seen, Pixels | None]:
        content = folder.content(path)
        if isinstance(content, Unusable):
            return _Seen(reason=content.value), None
        digest = sha256(encoder.digest.encode() + content).hexdigest()[:32]
        if digest in self.places or digest in waiting:
            return _Seen(digest), None
        pixels = pixels_of(content)
        return (_Seen(digest, pixels.value), None) if isinstance(pixels, Unusable) else (_Seen(digest), pixels)

    def _add(self, fresh: dict[str, Pixels], encoder: ImageEncoder) -> None:
        numbers = encoder.encode(list(fresh.values())).astype(np.float64)
        start = sum(map(len, self.vectors))  # a catalogue may show one picture twice, so there are fewer digests
        self.places |= {digest: start + place for place, digest in enumerate(fresh)}
        ends = pa.array(np.arange(len(fresh) + 1) * encoder.length, pa.int32())
        self.vectors.append(pa.ListArray.from_arrays(ends, pa.array(numbers.reshape(-1))).cast(VECTOR))
