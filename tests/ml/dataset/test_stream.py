"""The order of examples is a shuffle that can be had again."""

import numpy as np
import pytest

from ml.dataset.stream import batches, num_batches


def epoch_order(epoch: int, *, seed: int = 3) -> list[int]:
    return np.concatenate(list(batches(1000, batch_size=100, seed=seed, epoch=epoch))).tolist()


def test_every_example_comes_once_an_epoch():
    assert sorted(epoch_order(0)) == list(range(1000))


def test_the_order_depends_on_seed_and_epoch_alone():
    assert epoch_order(4) == epoch_order(4)
    assert epoch_order(4) != epoch_order(5)
    assert epoch_order(4, seed=3) != epoch_order(4, seed=5)


@pytest.mark.parametrize(("num_examples", "expected"), [(0, []), (1, [1]), (7, [7]), (10, [10]), (25, [10, 10])])
def test_all_batches_are_equally_large_and_few_examples_make_one(num_examples, expected):
    sizes = [len(batch) for batch in batches(num_examples, batch_size=10, seed=0, epoch=0)]

    assert sizes == expected
    assert num_batches(num_examples, batch_size=10) == len(expected)
