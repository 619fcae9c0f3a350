"""The leading directions of a sparse matrix, and the item factors made of them."""

import numpy as np
from scipy import sparse

from ml.contract.types import Floats
from ml.runtime.factors import ItemFactors

POWER_ITERATIONS = 3
SPARE_COLUMNS = 16


def item_factors(interest: sparse.csr_array, *, rank: int, seed: int = 0) -> ItemFactors:
    """Of who is interested in what `[num_users, num_items]`."""
    per_user, per_item = (np.asarray(interest.sum(axis=axis), np.float32).ravel() for axis in (1, 0))
    normalised = sparse.csr_array(
        sparse.diags_array(inverse_root(per_user)) @ interest @ sparse.diags_array(inverse_root(per_item))
    )
    _, directions = leading(normalised, rank, seed=seed)
    return ItemFactors((directions * np.sqrt(per_item)[:, None]).astype(np.float16), per_item)


def leading(matrix: sparse.csr_array, count: int, *, seed: int) -> tuple[Floats, Floats]:
    """Left factors times singular values `[n, count]` and right factors `[m, count]`, zeros where the matrix has fewer.

    Halko et al. 2011, "Finding structure with randomness", algorithm 4.4.
    """
    found = min(count, *matrix.shape)
    drawn = np.random.default_rng(seed).standard_normal((matrix.shape[1], min(found + SPARE_COLUMNS, *matrix.shape)))
    basis, transposed = drawn.astype(np.float32), sparse.csr_array(matrix.T)
    for _ in range(POWER_ITERATIONS):
        basis = np.linalg.qr(transposed @ (matrix @ basis))[0]
    left = matrix @ basis
    _, turns = np.linalg.eigh(left.T @ left)  # ascending
    turns = turns[:, ::-1][:, :found]
    padding = ((0, 0), (0, count - found))
    return np.pad(left @ turns, padding), np.pad(basis @ turns, padding)


def inverse_root(counts: Floats) -> Floats:
    """1 / √n, 0 for none."""
    root: Floats = np.where(counts > 0, np.maximum(counts, 1e-6) ** -0.5, 0.0).astype(np.float32)
    return root
