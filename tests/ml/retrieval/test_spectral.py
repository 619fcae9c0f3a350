"""First vectors from who chose what."""

import numpy as np
import pytest
from scipy import sparse

from ml.candidates.low_rank import ITEMS_ADDED, USERS_ADDED
from ml.retrieval.spectral import POPULARITY, first_vectors, item_factors


def two_circles() -> sparse.csr_array:
    """Users 1 to 20 choose among items 1 to 10, users 21 to 40 among 11 to 20, three in four each. Row 0 is nobody."""
    drawn = np.random.default_rng(0).random((41, 21)) < 0.75
    same = (np.arange(41)[:, None] > 20) == (np.arange(21)[None, :] > 10)
    chosen = drawn & same
    chosen[0], chosen[:, 0] = False, False
    return sparse.csr_array(chosen.astype(np.float32))


def test_users_point_to_the_items_of_their_circle():
    users, items = first_vectors(two_circles(), dim=3, seed=0)  # two circles, two directions
    cosines = users[1:, :-1] @ items[1:, :-1].T

    own = (np.arange(40)[:, None] >= 20) == (np.arange(20)[None, :] >= 10)
    assert cosines[own].min() > cosines[~own].max()


def test_the_last_column_tells_the_popularity_that_a_softmax_would_learn():
    chosen = two_circles()
    _, items = first_vectors(chosen, dim=5, seed=0)
    counts = np.asarray(chosen.sum(axis=0))[1:]

    assert np.polyfit(np.log(counts), items[1:, -1], 1)[0] == pytest.approx(POPULARITY)


def test_directions_span_those_of_an_exact_decomposition():
    chosen = two_circles()
    with np.errstate(divide="ignore"):
        roots = [np.where(n > 0, n**-0.5, 0) for n in (np.asarray(chosen.sum(axis=axis)) for axis in (1, 0))]
    left, values, _ = np.linalg.svd(roots[0][:, None] * chosen.toarray() * roots[1])
    exact = (left[:, :2] * values[:2])[1:]
    users, _ = first_vectors(chosen, dim=3, seed=0)

    cosines_of_exact = [x @ x.T / np.outer(*[np.linalg.norm(x, axis=1)] * 2) for x in (exact, users[1:, :2])]
    assert cosines_of_exact[0] == pytest.approx(cosines_of_exact[1], abs=1e-3)


def test_whoever_has_no_example_has_no_vector():
    users, items = first_vectors(two_circles(), dim=5, seed=0)

    assert not users[0].any()
    assert not items[0].any()
    assert np.linalg.norm(users[1:, :-1], axis=1) == pytest.approx(1)


def test_a_small_shop_leaves_the_other_columns_empty():
    users, items = first_vectors(two_circles(), dim=64, seed=0)

    assert users.shape[1] == items.shape[1] == 64
    assert not users[:, 21:-1].any()
    assert np.isfinite(users).all()


def test_factors_score_as_the_exact_low_pass_filter_does():
    chosen = two_circles().toarray()[1:, 1:]
    of_users, of_items = (
        1 / np.sqrt(chosen.sum(axis=axis) + added) for axis, added in ((1, USERS_ADDED), (0, ITEMS_ADDED))
    )
    _, _, directions = np.linalg.svd(of_users[:, None] * chosen * of_items)
    exact = chosen @ directions[:4].T @ directions[:4] / np.sqrt(of_items)
    table = item_factors(two_circles(), dim=4, seed=0)[1:]

    found = chosen @ (table[:, -1:] * table[:, :-1]) @ table[:, :-1].T
    assert found / found.max() == pytest.approx(exact / exact.max(), abs=1e-3)


def test_no_items_factors_are_longer_than_one_and_those_of_nobodys_item_are_none():
    table = item_factors(two_circles(), dim=5, seed=0)

    assert np.linalg.norm(table[:, :-1], axis=1).max() == pytest.approx(1)
    assert not table[0].any()
    assert (table[1:, -1] > 0).all()
