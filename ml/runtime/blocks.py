"""Blocks of columns, put side by side into one table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.runtime.kernel import Kernel, address, compiled, structs


@dataclass(frozen=True)
class Taken:
    """Some rows of a larger block, taken only when the table is made."""

    values: Floats
    """`[many, width]`"""
    rows: Rows
    """`[num_rows]`"""


Block = Floats | NDArray[np.bool_] | Taken
"""`[num_rows, width]`, or `[width]` where all rows have the same."""


def side_by_side(num_rows: int, num_columns: int, *blocks: Block) -> Floats:
    """`[num_rows, num_columns]`, the columns of all blocks in their order."""
    kernel = compiled()
    features = np.empty((num_rows, num_columns), np.float32)
    if kernel is None:
        by_numpy(features, blocks)
    else:
        by_kernel(features, blocks, kernel)
    return features


def by_kernel(features: Floats, blocks: tuple[Block, ...], kernel: Kernel) -> None:
    kept = [_contiguous(block) for block in blocks]  # until the call is over: the kernel is told addresses
    told = structs(_struct(block) for block in kept)
    kernel.side_by_side(told.buffer_info()[0], len(kept), *features.shape, address(features, np.float32))


def by_numpy(features: Floats, blocks: tuple[Block, ...]) -> None:
    end = 0
    for block in blocks:
        values = block.values[block.rows] if isinstance(block, Taken) else block
        start, end = end, end + values.shape[-1]
        features[:, start:end] = values


def _struct(block: Block) -> tuple[int, ...]:
    """`struct block` of features.c."""
    if isinstance(block, Taken):
        width = block.values.shape[1]
        return address(block.values, np.float32), width, width, address(block.rows, np.int32)
    width = block.shape[-1]
    return address(block, np.float32), width, width if block.ndim == 2 else 0, 0


def _contiguous(block: Block) -> Block:
    return block if isinstance(block, Taken) else np.ascontiguousarray(block, np.float32)
