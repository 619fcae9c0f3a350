"""Vectors a shop has of its items, of texts or pictures say: as columns of the catalogue, and in few enough numbers to learn from.

A vector column called `text` is the column `vector.text` of the catalogue: lists of one length, of half precision, each scaled to length 1,
since only a vector's direction says something. An item without a vector has zeros.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ml.contract.errors import DataError
from ml.contract.types import Floats
from ml.features.vocabulary import Vocabulary

PREFIX = "vector."
FITTED_ON = 100_000
"""Vectors that directions are fitted on, at most; evenly taken."""


def with_embeddings(items: pa.Table, embeddings: Iterable[pa.RecordBatch]) -> pa.Table:
    """The catalogue with a column for each vector column there are vectors of, in the order of their names.

    Args:
        items: with columns of `DIM_ITEMS`.
        embeddings: with columns of `DIM_ITEM_EMBEDDINGS`; those of other items are left out.

    Raises:
        DataError: vectors of one column are not all of one length.
    """
    ids = Vocabulary.of(items["item_id"].to_pylist())
    columns: dict[str, np.ndarray] = {}
    for batch in embeddings:
        rows = ids.rows(batch["item_id"])
        for name in sorted(batch["name"].unique().to_pylist()):
            mine = (rows >= 0) & pa.compute.equal(batch["name"], name).to_numpy(zero_copy_only=False)
            vectors = _matrix(batch["vector"].filter(pa.array(mine)), name)
            column = columns.setdefault(name, np.zeros((len(items), vectors.shape[1]), np.float16))
            if len(vectors) and vectors.shape[1] != column.shape[1]:
                raise _lengths_differ(name, [column.shape[1], vectors.shape[1]])
            column[rows[mine]] = _unit(vectors)
    for name, column in sorted(columns.items()):
        items = items.append_column(PREFIX + name, _lists(column))
    return items


def without_embeddings(items: pa.Table) -> pa.Table:
    """What is left of a catalogue for who does not compute with its vectors: they are most of its bytes."""
    return items.drop_columns([PREFIX + name for name in embedding_names(items)])


def embedding_names(items: pa.Table) -> tuple[str, ...]:
    return tuple(name.removeprefix(PREFIX) for name in items.column_names if name.startswith(PREFIX))


def embedding(items: pa.Table, name: str) -> Floats:
    """One vector column `[n, length]`: rows of length 1, and zeros where an item has none."""
    column = items[PREFIX + name]
    numbers = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    found: Floats = np.concatenate([np.empty(0, np.float16), *numbers]).astype(np.float32)
    return found.reshape(len(items), column.type.list_size)


def embeddings_digest(items: pa.Table) -> str:
    """Changes whenever a vector does; empty where there are no vector columns. What is computed of vectors may differ from machine to
    machine in its last bit, this may not."""
    hashed = sha256()
    for name in embedding_names(items):
        hashed.update(name.encode())
        for chunk in items[PREFIX + name].chunks:
            hashed.update(chunk.flatten().to_numpy(zero_copy_only=False).data)
    return hashed.hexdigest()[:16] if embedding_names(items) else ""


@dataclass(frozen=True)
class Directions:
    """The leading principal directions of one vector column: what of it a tower sees. Fitted once, saved with the model."""

    mean: Floats
    """`[length]`"""
    axes: Floats
    """`[length, kept]`, the one along which vectors differ most first; scaled so that the numbers found have a mean square of 1."""

    @classmethod
    def fit(cls, vectors: Floats, *, at_most: int) -> Self:
        """Of a column as `embedding` gives it; items without a vector play no part."""
        known = vectors[np.any(vectors != 0, axis=1)]
        known = known[np.linspace(0, len(known) - 1, min(len(known), FITTED_ON)).astype(np.int64)].astype(np.float64)
        mean = known.mean(axis=0) if len(known) else np.zeros(vectors.shape[1])
        centred = known - mean
        spread, axes = np.linalg.eigh(centred.T @ centred / max(len(known), 1))  # ascending
        spread, axes = spread[::-1][:at_most], axes[:, ::-1][:, :at_most]
        # An axis has no sign of its own: without one, a run could differ from the next.
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
        size = np.sqrt(np.maximum(spread, 0).mean())
        return cls(mean.astype(np.float32), (axes / (size if size > 1e-6 else 1.0)).astype(np.float32))

    @property
    def length(self) -> int:
        """Of the vectors."""
        return len(self.mean)

    @property
    def kept(self) -> int:
        """Numbers left of each."""
        return self.axes.shape[1]

    def along(self, vectors: Floats) -> Floats:
        """Where each vector lies along the directions `[n, length] -> [n, kept]`; zeros where an item has none."""
        known = np.any(vectors != 0, axis=1, keepdims=True)
        found: Floats = np.where(known, (vectors - self.mean) @ self.axes, 0).astype(np.float32)
        return found

    def seen(self, items: pa.Table, name: str) -> Floats:
        """What a tower is told of each item's vector: 1 and where it lies, all zeros where it has none `[n, 1 + kept]`.

        A column of another length is another column under the same name: nothing is known of it here.
        """
        kind = items.schema.field(PREFIX + name).type if PREFIX + name in items.column_names else None
        if kind is None or kind.list_size != self.length:
            return np.zeros((len(items), 1 + self.kept), np.float32)
        vectors = embedding(items, name)
        known = np.any(vectors != 0, axis=1, keepdims=True)
        return np.concatenate([known.astype(np.float32), self.along(vectors)], axis=1)

    def save(self, path: Path) -> None:
        np.savez(path, allow_pickle=False, mean=self.mean, axes=self.axes)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["mean"], stored["axes"])


def _matrix(lists: pa.ListArray, name: str) -> np.ndarray:
    lengths = pa.compute.unique(pa.compute.list_value_length(lists)).to_pylist()
    if len(lengths) > 1:
        raise _lengths_differ(name, sorted(lengths))
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), *lengths or [0])


def _unit(vectors: np.ndarray) -> np.ndarray:
    # By the largest number first: its square might not fit.
    scaled = vectors / np.maximum(np.abs(vectors).max(axis=1, keepdims=True, initial=0), np.finfo(np.float64).tiny)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)


def _lists(column: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(column.reshape(-1)), column.shape[1])


def _lengths_differ(name: str, lengths: list[int]) -> DataError:
    return DataError(
        f"Vectors of the column `{name}` must all be of one length. Received: {', '.join(map(str, lengths))}. Rebuild "
        "`marts/dim_item_embeddings`, whose rows the mapping's `length` decides."
    )
