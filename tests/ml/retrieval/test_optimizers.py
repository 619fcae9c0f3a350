"""How weights move."""

import numpy as np
import pytest

pytestmark = pytest.mark.tf

RATE = 0.1


def moved(steps: list[tuple[list[int], list[float]]], *, rows: int = 3) -> np.ndarray:
    """A table of one number a row, from 0, after steps of (rows looked up, their gradients)."""
    from ml.retrieval.legacy_keras import tf
    from ml.retrieval.optimizers import RowwiseAdam

    table, optimizer = tf.Variable(np.zeros((rows, 1), np.float32)), RowwiseAdam(RATE)
    optimizer.build([table])
    for looked_up, gradients in steps:
        slices = tf.IndexedSlices(tf.constant(gradients, tf.float32)[:, None], tf.constant(looked_up), (rows, 1))
        optimizer.apply_gradients([(slices, table)])
    return table.numpy()[:, 0]


def test_the_first_step_moves_a_row_by_the_rate_against_its_gradient():
    assert moved([([0, 2], [4.0, -0.5])]) == pytest.approx([-RATE, 0, RATE], rel=1e-3)


def test_a_row_rests_while_nothing_looks_it_up():
    before = moved([([0], [1.0])])
    after = moved([([0], [1.0]), ([1], [1.0]), ([1], [1.0])])

    assert after[0] == before[0]
    assert after[2] == 0


def test_a_row_looked_up_twice_in_a_step_has_the_sum_of_its_gradients():
    assert moved([([1, 1], [1.0, 2.0]), ([1], [1.0])]) == pytest.approx(moved([([1], [3.0]), ([1], [1.0])]))


def test_rows_looked_up_in_every_step_move_as_keras_moves_them():
    from ml.retrieval.legacy_keras import tf

    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((5, 3)).astype(np.float32)
    table, theirs = tf.Variable(np.zeros((3, 1), np.float32)), tf.keras.optimizers.Adam(RATE)
    for gradient in gradients:
        theirs.apply_gradients([(tf.constant(gradient[:, None]), table)])

    ours = moved([([0, 1, 2], gradient.tolist()) for gradient in gradients])

    assert ours == pytest.approx(table.numpy()[:, 0], rel=1e-4)
