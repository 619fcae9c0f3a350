import numpy as np
import pytest

from ml.evaluation.lists import best_of_dense


def by_a_full_sort(scores, k):
    """Highest first, the lower item row among equals, nothing that is -inf."""
    lists = np.full((len(scores), k), -1, np.int32)
    for row, values in enumerate(scores):
        order = np.argsort(-values, kind="stable")[:k]
        order = order[np.isfinite(values[order])]
        lists[row, : len(order)] = order
    return lists


@pytest.mark.parametrize("num_items", [1, 3, 99, 640, 641, 655, 5_003])
@pytest.mark.parametrize("values", [3, 50, None])
def test_the_highest_are_listed_as_a_full_sort_lists_them_however_many_are_equal_or_left_out(num_items, values):
    rng = np.random.default_rng(num_items)
    scores = rng.standard_normal((20, num_items)).astype(np.float32)
    if values is not None:
        scores = np.round(scores * values)
    scores[rng.random(scores.shape) < rng.random((20, 1))] = -np.inf
    scores[0] = -np.inf
    assert (best_of_dense(scores, k=10) == by_a_full_sort(scores, 10)).all()


def test_the_best_of_one_group_are_all_found():
    scores = np.zeros((1, 16 * 40), np.float32)
    together = np.arange(16) * 40 + 7  # all sixteen of the seventh group, which has one maximum
    scores[0, together] = np.arange(16, 0, -1)
    assert best_of_dense(scores, k=10)[0].tolist() == together[:10].tolist()
