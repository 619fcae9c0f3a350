"""Crosses of attributes: what holds of a brand in a category and of neither alone, hashed into so many rows of a table."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.contract.errors import RecipeError
from ml.contract.types import Rows

ITEM_COLUMNS = ("category", "sub_category", "brand", "seller_id", "region", "price")
"""What may be crossed of an item; of the price the bucket it lies in."""
USER_COLUMNS = ("country", "segment")
PRIME, FACTOR = 2**31 - 1, 1_000_003
"""Of the hash: products of both stay below 2^51, so that NumPy and a graph of TensorFlow agree."""


class Cross(BaseModel):
    """Attributes whose values count together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...] = Field(description="Two or more attributes of items, or of users.")
    buckets: int = Field(1_000, ge=2, le=10_000_000, description="Rows that combinations are hashed into.")

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        if unknown := [name for name in self.columns if name not in (*ITEM_COLUMNS, *USER_COLUMNS)]:
            raise RecipeError(
                f"A cross is of {', '.join(ITEM_COLUMNS)} of items, or of {', '.join(USER_COLUMNS)} of users. "
                f"Received: {', '.join(unknown)}. Name columns of these."
            )
        if len(set(self.columns)) < max(len(self.columns), 2):
            raise RecipeError(
                f"A cross is of two or more different columns. Received: {', '.join(self.columns) or 'none'}. A single "
                "attribute has a table of its own already: add a column, or leave the cross out."
            )
        if len({name in USER_COLUMNS for name in self.columns}) > 1:
            raise RecipeError(
                f"A cross lies in one tower: its columns are of items or of users. Received: {', '.join(self.columns)}. The towers' "
                "product is what crosses users with items: make two crosses, or leave it out."
            )
        if set(self.columns) == {"category", "price"}:
            raise RecipeError(
                "A cross is of columns that are not crossed yet. Received: category, price, which the candidate tower always has. Leave it out."
            )
        return self

    @property
    def side(self) -> Literal["item", "user"]:
        return "user" if self.columns[0] in USER_COLUMNS else "item"

    @property
    def size(self) -> int:
        """Rows of its embedding table: 0 is for what is not known of every column."""
        return self.buckets + 1


def require_distinct(crosses: Sequence[Cross]) -> None:
    """Pass when no two crosses are of the same columns, in whatever order.

    Raises:
        RecipeError: two are.
    """
    seen: set[frozenset[str]] = set()
    for cross in crosses:
        if frozenset(cross.columns) in seen:
            raise RecipeError(
                f"`crosses` names each set of columns once. Received: {', '.join(cross.columns)} twice. Leave one of them out."
            )
        seen.add(frozenset(cross.columns))


def crossed(hashes: Sequence[Any], known: Any, *, buckets: int) -> Any:
    """Row of each combination, 1 to `buckets`, 0 where not `known` `[n]`; of int64 arrays of NumPy or tensors alike.

    Args:
        hashes: of each column `[n]`.
    """
    combined = hashes[0] % PRIME
    for each in hashes[1:]:
        combined = (combined * FACTOR + each) % PRIME
    return (1 + combined % buckets) * known


def hashes_of(values: pa.ChunkedArray) -> tuple[Rows, np.ndarray]:
    """Hash of each text, and whether there is one `[n]`."""
    encoded = values.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    table = np.array([*map(hash_of, encoded.dictionary.to_pylist()), 0], np.int64)
    return table[indices], indices >= 0


@lru_cache(100_000)
def hash_of(value: str) -> int:
    """The same on every machine and in every process, below 2^31."""
    return int.from_bytes(blake2b(value.encode(), digest_size=4).digest()) & PRIME
