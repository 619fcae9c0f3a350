"""Blocks of columns, put side by side into one table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.runtime.kernel import Kernel, address, structs


@dataclass(frozen=True)
class Taken:
    """Some rows of a larger block, taken only when the table is made."""

    values: Floats
    """`[many, width]`"""
    rows: Rows
    """`[num_rows]`"""


@dataclass(frozen=True)
class Written:
    """Columns that somebody else writes into the table."""

    width: int


Block = Floats | NDArray[np.bool_] | Taken | Written
"""`[num_rows, width]`, or `[width]` where all rows have the same."""


def by_kernel(features: Floats, blocks: tuple[Block, ...], kernel: Kernel) -> None:
    """Write the columns of all blocks, in their order, into a table `[num_rows, num_columns]`."""
    kept = [_contiguous(block) for block in blocks]  # until the call is over: the kernel is told addresses
    told = structs(_struct(block) for block in kept)
    kernel.side_by_side(told.buffer_info()[0], len(kept), *features.shape, address(features, np.float32))


def by_numpy(features: Floats, blocks: tuple[Block, ...]) -> None:
    """The same in NumPy."""
    end = 0
    for block in blocks:
        start, end = end, end + width_of(block)
        if not isinstance(block, Written):
            features[:, start:end] = block.values[block.rows] if isinstance(block, Taken) else block


def width_of(block: Block) -> int:
    """How many columns it has."""
    if isinstance(block, Written):
        return block.width
    return int((block.values if isinstance(block, Taken) else block).shape[-1])


def _struct(block: Block) -> tuple[int, ...]:
    """`struct block` of features.c."""
    width = width_of(block)
    if isinstance(block, Written):
        return 0, width, 0, 0
    if isinstance(block, Taken):
        return address(block.values, np.float32), width, width, address(block.rows, np.int32)
    return address(block, np.float32), width, width if block.ndim == 2 else 0, 0


def _contiguous(block: Block) -> Block:
    return block if isinstance(block, (Taken, Written)) else np.ascontiguousarray(block, np.float32)
