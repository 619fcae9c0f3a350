"""Negatives beside a step's own candidates: which they are, and how common each is said to be."""

from itertools import pairwise

import numpy as np
import pytest

from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import Window
from ml.retrieval.negatives import Negatives
from tests import world
from tests.ml.retrieval import shop

MIXED = shop.SETTINGS.model_copy(update={"uniform_negatives": 200, "cached_negatives": 100})


@pytest.fixture(scope="module")
def examples() -> RetrievalExamples:
    return shop.examples(world.training_data())


def steps(examples: RetrievalExamples, negatives: Negatives, *, epoch: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Item rows of each step's batch, and those beside it."""
    batches = examples.batches(batch_size=MIXED.batch_size, seed=0, epoch=epoch)
    return [(batch.item_rows, beside) for batch, beside in negatives.beside(batches, seed=0, epoch=epoch)]


def test_a_recipe_without_more_negatives_has_the_shares_of_the_examples(examples):
    negatives = Negatives.of(examples, shop.SETTINGS)

    assert np.exp(negatives.log_q) == pytest.approx(examples.item_shares)
    assert all(not len(beside) for _, beside in steps(examples, negatives))


def test_shares_are_those_in_which_candidates_come(examples):
    """Counted over ten epochs."""
    negatives = Negatives.of(examples, MIXED)
    drawn = [rows for epoch in range(10) for step in steps(examples, negatives, epoch=epoch) for rows in step]
    counted = np.bincount(np.concatenate(drawn), minlength=len(examples.item_shares))

    assert np.exp(negatives.log_q).sum() == pytest.approx(1)
    assert counted / counted.sum() == pytest.approx(np.exp(negatives.log_q), abs=0.005)


def test_the_cache_holds_the_candidates_of_the_steps_before(examples):
    taken = steps(examples, Negatives.of(examples, MIXED))

    assert len(taken) > 2
    for (before, _), (_, beside) in pairwise(taken):
        assert np.array_equal(beside[: len(before)], before)


def test_an_epoch_has_the_same_negatives_whenever_it_is_run(examples):
    negatives = Negatives.of(examples, MIXED)
    once, again, other = (np.concatenate([x for _, x in steps(examples, negatives, epoch=e)]) for e in (1, 1, 2))

    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_an_item_of_tomorrow_is_nobodys_negative():
    data = world.training_data()
    early = shop.examples(data, window=Window(0, int(data.log.occurred_at[20])))
    unknown = np.flatnonzero(early.candidates.ids[:, 0] == 0)
    beside = np.concatenate([x for _, x in steps(early, Negatives.of(early, MIXED))])

    assert len(unknown)
    assert not np.isin(unknown, beside).any()
