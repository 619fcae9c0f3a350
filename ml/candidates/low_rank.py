"""The leading directions of who chose what, and the item factors made of them."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from ml.contract.types import Floats
from ml.runtime.factors import ItemFactors

POWER_ITERATIONS = 3
SPARE_SHARE = 4
"""Directions looked for beyond those asked for: one for every so many. Without them the last ones are blurred by what comes after:
of 512 on Gowalla recall@20 was .204 with 16 spare ones, .208 with 512."""
FEWEST_SPARE = 16
NUMBERS_AT_ONCE = 50_000_000
"""Of the product of all users with all directions so many are in memory at a time."""

USERS_ADDED, ITEMS_ADDED = 16.0, 8.0
"""Items of a user, and users of an item, that are counted beside the real ones: a direction is then no affair of a few rare items, and
nobody who chose one thing is as sure of it as ten who chose it among others. See "Damped graphs" in docs/experiments.md."""


class LowPass(NamedTuple):
    vectors: Floats
    """`[num_items, rank]`."""
    says: Floats
    """`[num_items]` How much an item says of who chose it; 0 where nobody did."""


def low_pass(chosen: sparse.csr_array, *, rank: int, seed: int = 0) -> LowPass:
    """An ideal low-pass filter on the graph of users and items, as vectors of items.

    Shen et al. 2021, "How powerful is graph convolution for recommendation?", section 4, on a graph with `USERS_ADDED` and `ITEMS_ADDED`, and with the
    fourth root of an item's degree where they take the second: half as much is made of what is common.

    Args:
        chosen: `[num_users, num_items]`, not negative.
    """
    per_item = np.asarray(chosen.sum(axis=0), np.float32).ravel()
    directions = leading(damped(chosen, users_added=USERS_ADDED, items_added=ITEMS_ADDED), rank, seed=seed)
    root = np.where(per_item > 0, (per_item + ITEMS_ADDED) ** 0.25, 0.0).astype(np.float32)
    return LowPass(directions * root[:, None], np.divide(1, root, where=root > 0, out=np.zeros_like(root)))


def item_factors(interest: sparse.csr_array, *, rank: int, seed: int = 0) -> ItemFactors:
    """Of who is interested in what `[num_users, num_items]`."""
    vectors, says = low_pass(interest, rank=rank, seed=seed)
    return ItemFactors(vectors.astype(np.float16), says)


def damped(chosen: sparse.csr_array, *, users_added: float, items_added: float) -> sparse.csr_array:
    """Each number over the roots of its row's and its column's sums, to which something is added before."""
    per_user, per_item = (np.asarray(chosen.sum(axis=axis), np.float32).ravel() for axis in (1, 0))
    of_users, of_items = inverse_root(per_user, added=users_added), inverse_root(per_item, added=items_added)
    return sparse.csr_array(sparse.diags_array(of_users) @ chosen @ sparse.diags_array(of_items))


def leading(matrix: sparse.csr_array, count: int, *, seed: int) -> Floats:
    """Right singular directions of the largest singular values `[num_columns, count]`, zeros where the matrix has fewer.

    Halko et al. 2011, "Finding structure with randomness", algorithm 4.4. Between two iterations the lower factor of LU keeps directions apart as
    well as an orthogonal one, for less work; only the last must be orthogonal.
    """
    found = min(count, *matrix.shape)
    looked_for = min(found + max(FEWEST_SPARE, found // SPARE_SHARE), *matrix.shape)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], looked_for)).astype(np.float32)
    for _ in range(POWER_ITERATIONS - 1):
        basis = linalg.lu(_there_and_back(matrix, basis), permute_l=True, overwrite_a=True)[0]
    basis = np.linalg.qr(_there_and_back(matrix, basis))[0]
    _, turns = np.linalg.eigh(basis.T @ _there_and_back(matrix, basis))  # ascending
    return np.pad(basis @ turns[:, ::-1][:, :found], ((0, 0), (0, count - found)))


def _there_and_back(matrix: sparse.csr_array, basis: Floats) -> Floats:
    """`matrix.T @ matrix @ basis`, some rows of the matrix after the others."""
    rows = max(1, NUMBERS_AT_ONCE // basis.shape[1])
    parts = (matrix[start : start + rows] for start in range(0, matrix.shape[0], rows))
    summed = np.zeros_like(basis)
    for part in parts:
        summed += part.T @ (part @ basis)
    return summed


def inverse_root(counts: Floats, *, added: float = 0.0) -> Floats:
    """1 / √(n + added), 0 for none."""
    root: Floats = np.where(counts > 0, np.maximum(counts + added, 1e-6) ** -0.5, 0.0).astype(np.float32)
    return root
