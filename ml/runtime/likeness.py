"""Products of a query with a few rows of a table of vectors: one compiled call, or the same in NumPy to the last bit."""

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.runtime.kernel import Kernel, address, compiled

SUMS = 16
"""Products are added up in so many sums, and these in pairs: an order that vectors of any width can keep to."""

Vectors = Floats | NDArray[np.float16]
"""`[many, size]`"""


def scores_into(column: Floats, vectors: Vectors, rows: Rows, query: Floats) -> None:
    """Write the product of `query [size]` with each of `rows` into a column of a larger array `[len(rows)]`."""
    kernel = compiled()
    if kernel is None:
        column[:] = by_numpy(vectors, rows, query)
    else:
        by_kernel(column, vectors, rows, query, kernel)


def by_kernel(column: Floats, vectors: Vectors, rows: Rows, query: Floats, kernel: Kernel) -> None:
    score = kernel.score_by_floats if vectors.dtype == np.float32 else kernel.score_by_halves
    score(
        address(vectors, vectors.dtype), address(rows, np.int32), len(rows), vectors.shape[1], address(query, np.float32),
        column.ctypes.data, column.strides[0] // column.itemsize,
    )  # fmt: skip


def by_numpy(vectors: Vectors, rows: Rows, query: Floats) -> Floats:
    products = vectors[rows].astype(np.float32) * query
    products = np.pad(products, ((0, 0), (0, -products.shape[1] % SUMS)))
    sums = np.zeros((len(rows), SUMS), np.float32)
    for part in range(0, products.shape[1], SUMS):
        sums += products[:, part : part + SUMS]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return sums[:, 0]


def weighted_sum(vectors: NDArray[np.float16], rows: Rows, weights: Floats) -> Floats:
    """Of rows of a table `[size]`, added up in their order."""
    kernel = compiled()
    return sum_by_numpy(vectors, rows, weights) if kernel is None else sum_by_kernel(vectors, rows, weights, kernel)


def sum_by_kernel(vectors: NDArray[np.float16], rows: Rows, weights: Floats, kernel: Kernel) -> Floats:
    found = np.empty(vectors.shape[1], np.float32)
    kernel.sum_of_halves(
        address(vectors, np.float16), address(rows, np.int32), address(weights, np.float32),
        len(rows), len(found), address(found, np.float32),
    )  # fmt: skip
    return found


def sum_by_numpy(vectors: NDArray[np.float16], rows: Rows, weights: Floats) -> Floats:
    found = np.zeros(vectors.shape[1], np.float32)
    for row, weight in zip(rows.tolist(), weights, strict=True):
        found += vectors[row].astype(np.float32) * weight
    return found
