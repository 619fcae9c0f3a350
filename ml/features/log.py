"""The shop's events as columns of numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.events import EVENT_TYPES
from ml.contract.types import Codes, Floats, Rows, Seconds
from ml.features.vocabulary import Vocabulary

EVENT_ORDER = ("occurred_at", "user_row", "item_row", "event_code", "known_at", "basket_number", "quantity", "price")
"""Columns of `ENCODED_EVENTS` events are sorted by. All that tell two apart, so that no warehouse's own order shows."""


@dataclass(frozen=True)
class InteractionLog:
    """Events in the order they happened. All arrays `[num_events]`; rows are of the vocabularies the log was made with."""

    user_rows: Rows
    item_rows: Rows
    event_codes: Codes
    occurred_at: Seconds
    known_at: Seconds
    quantity: Floats
    """Pieces; 1 where the shop did not say."""
    amount: Floats
    """Money of a purchase, NaN elsewhere."""
    basket_rows: Rows
    """Order, else session; -1 where neither is known."""

    @classmethod
    def from_table(cls, interactions: pa.Table, *, users: Vocabulary, items: Vocabulary) -> Self:
        """Of a table with the columns of `FCT_INTERACTIONS`; events of items or users outside the vocabularies are left out."""
        occurred_at = _seconds(interactions["occurred_at"])
        user_rows, item_rows = users.rows(interactions["user_id"]), items.rows(interactions["item_id"])
        order = np.lexsort((item_rows, user_rows, occurred_at))
        order = order[(user_rows[order] >= 0) & (item_rows[order] >= 0)]
        event_types = Vocabulary.of([str(event_type) for event_type in EVENT_TYPES])
        return cls(
            user_rows=user_rows[order],
            item_rows=item_rows[order],
            event_codes=event_types.rows(interactions["event_type"]).astype(np.int8)[order],
            occurred_at=occurred_at[order],
            known_at=_seconds(interactions["known_at"])[order],
            quantity=_floats(interactions["quantity"].fill_null(1.0))[order],
            amount=_floats(interactions["amount"].fill_null(float("nan")))[order],
            basket_rows=_factorised(interactions["basket_id"])[order],
        )

    @classmethod
    def from_encoded(cls, events: pa.Table) -> Self:
        """Of a table with the columns of `ENCODED_EVENTS`, in the order of `EVENT_ORDER`."""
        user_rows, baskets = (events[name].to_numpy() for name in ("user_row", "basket_number"))
        _, basket_rows = np.unique(user_rows.astype(np.int64) << 32 | np.maximum(baskets, 0), return_inverse=True)
        return cls(
            user_rows=user_rows,
            item_rows=events["item_row"].to_numpy(),
            event_codes=events["event_code"].to_numpy(),
            occurred_at=_seconds(events["occurred_at"]),
            known_at=_seconds(events["known_at"]),
            quantity=_floats(events["quantity"].fill_null(1.0)),
            amount=_floats(events["amount"].fill_null(float("nan"))),
            basket_rows=np.where(baskets >= 0, basket_rows, -1).astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.user_rows)

    def where(self, keep: NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """The events of a mask or of positions, in the order given."""
        return type(self)(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})

    def with_user_rows(self, user_rows: Rows) -> Self:
        """The same events of users numbered anew."""
        return replace(self, user_rows=user_rows)

    def with_item_rows(self, item_rows: Rows) -> Self:
        """The same events in the rows of another catalogue, without those whose new row is -1."""
        return replace(self, item_rows=item_rows).where(item_rows >= 0)

    def of_types(self, codes: Iterable[int]) -> Self:
        return self.where(np.isin(self.event_codes, list(codes)))

    def before(self, cut: int) -> Self:
        """What was known before the instant `cut`: happened and arrived."""
        return self.where((self.occurred_at < cut) & (self.known_at < cut))

    def between(self, start: int, end: int) -> Self:
        """What happened in [start, end), whenever it arrived."""
        return self.where((self.occurred_at >= start) & (self.occurred_at < end))


def _seconds(column: pa.ChunkedArray) -> Seconds:
    return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() // 1_000_000


def _floats(column: pa.ChunkedArray) -> Floats:
    return column.to_numpy().astype(np.float32)


def _factorised(column: pa.ChunkedArray) -> Rows:
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    rows: Rows = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return rows
