"""The shop's events as arrays, before they become a table."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Codes, Floats, Rows


@dataclass(frozen=True)
class Events:
    """Rows as the shop's systems write them. Arrays `[num_events]`; -1 is null, in `seconds` NaN is."""

    user_rows: Rows
    item_rows: Rows
    event_codes: Codes
    seconds: NDArray[np.float64]
    """Since the start of the day."""
    received: NDArray[np.float64]
    """Since the start of the day."""
    quantity: Floats
    prices: Floats
    session_rows: Rows
    order_rows: Rows
    request_rows: Rows
    numbers: Rows
    """Of the event on its day; an exact duplicate carries the number of its original."""

    def __len__(self) -> int:
        return len(self.user_rows)

    def where(self, keep: NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})

    def and_also(self, others: list[Self]) -> Self:
        parts = [self, *others]
        return type(self)(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(self)})
