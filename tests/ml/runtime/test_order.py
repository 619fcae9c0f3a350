import numpy as np
import pytest

from ml.runtime.order import falling


@pytest.mark.parametrize("ties", [3, 1_000])
def test_the_best_come_first_and_equal_scores_stay_as_they_stood(ties):
    scores = np.random.default_rng(ties).integers(-ties, ties, 500).astype(np.float32) / 7
    assert falling(scores).tolist() == np.lexsort((np.arange(500), -scores)).tolist()


def test_zero_is_zero_whatever_its_sign():
    assert falling(np.array([-0.0, 0.0, -0.0, 1e-38, -1e-38], np.float32)).tolist() == [3, 0, 1, 2, 4]


def test_every_row_of_a_table_has_its_own_order():
    scores = np.array([[1, 3, 2], [2, 2, 5]], np.float32)
    assert falling(scores).tolist() == [[1, 2, 0], [2, 0, 1]]


def test_nothing_has_an_order_too():
    assert falling(np.empty(0, np.float32)).tolist() == []
