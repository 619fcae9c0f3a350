"""The catalogue a bundle serves: ids, what to show, what to compute with."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.contract.columns import ITEM_FEATURES
from ml.contract.errors import UnknownItemError
from ml.contract.types import Floats, Rows
from ml.features.vocabulary import Vocabulary
from ml.runtime.columns import Column, column_of

REGIONS_KEPT = 32
"""Of so many regions it is remembered what is sold there: a byte for each item and region."""


class ItemDisplay(NamedTuple):
    """What a shop shows of an item."""

    item_id: str
    title: str | None
    category: str | None
    price: float | None
    image_url: str | None


@dataclass(frozen=True)
class ItemTable:
    """Items in row order, one column per fact (columns of `DIM_ITEMS` and `ITEM_FEATURES`)."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @classmethod
    def at_cut(cls, items: pa.Table, features: pa.Table, *, cut: datetime, final: bool) -> Self:
        """The catalogue as known at `cut`.

        Args:
            items: `DIM_ITEMS`; its stock and activity are today's, so they count only when `final`.
            features: rows of `FEAT_ITEMS` of that cut; items without one get zeros.
        """
        naive_cut = cut.astimezone(UTC).replace(tzinfo=None)
        born = pc.min_element_wise(items["created_at"], items["first_seen_at"])
        known = pc.fill_null(pc.less(born, pa.scalar(naive_cut, pa.timestamp("us"))), True)
        items = items.filter(known).sort_by("item_id")
        if not final:
            items = items.set_column(
                items.schema.get_field_index("is_active"), "is_active", pa.array(np.ones(len(items), bool))
            ).set_column(items.schema.get_field_index("stock"), "stock", pa.nulls(len(items), pa.int64()))
        rows = Vocabulary.of(features["item_id"].to_pylist()).rows(items["item_id"])
        for name in ITEM_FEATURES:
            column = features[name].fill_null(0.0).to_numpy()
            values = np.where(rows >= 0, column[rows], 0.0) if len(column) else np.zeros(len(rows))
            items = items.append_column(name, pa.array(values.astype(np.float32)))
        return cls(items.combine_chunks())

    def save(self, path: Path) -> None:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, self.table.schema) as writer:
            writer.write_table(self.table)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Memory-mapped: columns nobody asks for stay on disk."""
        with pa.memory_map(str(path)) as source:
            return cls(pa.ipc.open_file(source).read_all())

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(_as_one(self.table["item_id"]))

    @property
    def features(self) -> Floats:
        """`[num_items, len(ITEM_FEATURES)]`, made anew each time."""
        return np.stack([self.table[name].to_numpy() for name in ITEM_FEATURES], axis=1).astype(np.float32)

    @cached_property
    def price(self) -> Floats:
        """Today's price, else the mean one paid; NaN where neither is known."""
        listed = self.table["price"].fill_null(float("nan")).to_numpy()
        paid = self.table["mean_price"].to_numpy()
        return np.where(np.isfinite(listed), listed, np.where(paid > 0, paid, np.nan)).astype(np.float32)

    @property
    def log_price(self) -> Floats:
        """The natural logarithm of `price`, of a cent where it is less; NaN where it is not known. Made anew each time."""
        return np.log(np.maximum(self.price, np.float32(0.01)))

    @cached_property
    def available(self) -> NDArray[np.bool_]:
        """May be shown: active and not out of stock (an unknown stock counts as in stock)."""
        active = self.table["is_active"].fill_null(True).to_numpy()
        return np.asarray(active & (self.table["stock"].fill_null(1).to_numpy() > 0))

    @cached_property
    def _sold_in(self) -> tuple[Vocabulary, Rows]:
        regions = Vocabulary.fit(pc.unique(self.table["region"]).to_pylist())
        return regions, regions.rows(self.table["region"])

    def sold_in(self, region: str, row: int) -> bool:
        """Whether an item is of no region, so sold everywhere, or of this one."""
        regions, codes = self._sold_in
        return bool(codes[row] < 0 or codes[row] == regions.row(region))

    def available_in(self, region: str | None) -> NDArray[np.bool_]:
        """What may be shown, in one region or to who named none `[num_items]`; kept for the next request, so not to be written to."""
        return self.available if region is None else self._available_in(self._sold_in[0].row(region))

    @cached_property
    def _available_in(self) -> Callable[[int], NDArray[np.bool_]]:
        # Without `self` in it, which would hold this table in a ring that only a full collection breaks.
        available, codes = self.available, self._sold_in[1]
        return lru_cache(REGIONS_KEPT)(lambda region: available & ((codes < 0) | (codes == region)))

    @cached_property
    def born(self) -> NDArray[np.float64]:
        """When each item was first known, in seconds; NaN where no one knows `[num_items]`."""
        born = pc.min_element_wise(self.table["created_at"], self.table["first_seen_at"])
        return np.asarray(born.cast(pa.int64()).cast(pa.float64()).fill_null(float("nan")).to_numpy() / 1e6)

    @cached_property
    def seller_born(self) -> NDArray[np.float64]:
        """When the first item of each item's seller was known; NaN where no one knows `[num_items]`."""
        first = np.full(int(self.sellers.max(initial=-1)) + 2, np.nan)  # the last place is for items without a seller
        np.fmin.at(first, self.sellers, self.born)
        first[-1] = np.nan
        return first[self.sellers]

    @cached_property
    def categories(self) -> Rows:
        return self._codes("category")

    @property
    def category_names(self) -> tuple[str, ...]:
        """What each value of `categories` stands for."""
        return tuple(self._kinds("category").ids.to_pylist())

    @cached_property
    def kinds(self) -> Rows:
        """Category, sub-category and brand of each item side by side `[num_items, 3]`: one look into memory finds all three."""
        return np.stack([self.categories, self._codes("sub_category"), self._codes("brand")], axis=1)

    @cached_property
    def sellers(self) -> Rows:
        return self._codes("seller_id")

    def is_one_of(self, rows: Rows, kinds: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of `rows` is of one of these categories or sub-categories `[len(rows)]`."""
        if not kinds:
            return np.zeros(len(rows), np.bool_)
        names = pa.array(kinds, type=pa.string())
        columns = [pc.is_in(self.table[name].take(pa.array(rows)), names) for name in ("category", "sub_category")]
        return np.asarray(pc.or_(*columns).to_numpy())

    def rows_of(self, item_ids: Iterable[str]) -> Rows:
        """Distinct rows of a few items, ascending; those outside the catalogue are left out."""
        # One look-up each: Arrow's `index_in` would hash the whole catalogue anew, 14 ms of 92 thousand items.
        rows = {self.vocabulary.row(item_id) for item_id in item_ids}
        return np.array(sorted(rows - {-1}), np.int32)

    def row(self, item_id: str) -> int:
        """Row of an item.

        Raises:
            UnknownItemError: the catalogue does not hold it.
        """
        row = self.vocabulary.row(item_id)
        if row < 0:
            raise UnknownItemError(
                f"Expected an item of this bundle's catalogue ({len(self)} items). Received: {item_id!r}. "
                "A new item becomes known with the next `item_vectors` and `candidate_bundle`."
            )
        return row

    def display(self, row: int) -> ItemDisplay:
        ids, titles, categories, prices, images = self._shown
        return ItemDisplay(ids[row], titles[row], categories[row], self._shown_price(prices[row], row), images[row])

    @cached_property
    def _shown(self) -> tuple[Column, ...]:
        """Columns looked into place by place: a table would be asked for each anew, which takes longer than the look."""
        names = ("item_id", "title", "category", "price", "image_url")
        return tuple(column_of(_as_one(self.table[name])) for name in names)

    def _shown_price(self, listed: float | None, row: int) -> float | None:
        if listed is not None:
            return float(listed)
        return round(float(self.price[row]), 2) if np.isfinite(self.price[row]) else None

    def _codes(self, name: str) -> Rows:
        return self._kinds(name).rows(self.table[name])

    def _kinds(self, name: str) -> Vocabulary:
        return Vocabulary.fit(pc.unique(self.table[name]).to_pylist())


def _as_one(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
