"""Ids and array kinds. Ids are what the shop calls things; rows are positions in one table: never mix them."""

from typing import NewType

import numpy as np
from numpy.typing import NDArray

UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Rows = NDArray[np.int32]
"""Positions in one table; -1 is "not in it"."""
Codes = NDArray[np.int8]
Seconds = NDArray[np.int64]
"""Instants: whole seconds since 1970-01-01 UTC."""
