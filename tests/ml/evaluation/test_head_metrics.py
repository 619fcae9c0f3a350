from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.errors import ContractError
from ml.evaluation.head_metrics import auc, log_loss, mae, of_numbers, of_probabilities, rmse

NOTHING = np.empty(0)


def test_errors_of_numbers():
    metrics = of_numbers("rating", "test", np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 0.0]))
    assert metrics.rmse == pytest.approx(((0 + 4 + 9) / 3) ** 0.5)
    assert metrics.mae == pytest.approx((0 + 2 + 3) / 3)
    assert (metrics.auc, metrics.log_loss, metrics.undefined, metrics.num_rows) == (None, None, None, 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_won_with_ties_counting_half(rows):
    scores, happened = np.array([s for s, _ in rows], float), np.array([h for _, h in rows])
    won = [(p > n) + (p == n) / 2 for p in scores[happened] for n in scores[~happened]]
    assert auc(scores, happened) == (pytest.approx(np.mean(won)) if won else None)


@pytest.mark.parametrize("happened", [[True, True], [False, False]])
def test_auc_of_one_class_is_undefined_and_says_so(happened):
    metrics = of_probabilities("purchase", "test", np.array([0.2, 0.9]), np.array(happened))
    assert metrics.auc is None
    assert metrics.undefined == "auc: one class only"
    assert metrics.log_loss is not None


def test_log_loss_of_a_confident_mistake_is_large_and_finite():
    assert log_loss(np.array([0.0]), np.array([True])) == pytest.approx(-log(1e-7))


def test_nothing_to_judge_is_undefined_never_zero():
    nothing = np.empty(0, bool)
    assert [rmse(NOTHING, NOTHING), mae(NOTHING, NOTHING), auc(NOTHING, nothing), log_loss(NOTHING, nothing)] == [
        None
    ] * 4
    assert of_numbers("rating", "test", NOTHING, NOTHING).undefined == "no rows"
    assert of_probabilities("purchase", "test", NOTHING, nothing).undefined == "no rows"


def test_predictions_of_other_rows_are_refused():
    with pytest.raises(ContractError, match=r"one shape. Received: \(2,\) and \(1,\)"):
        rmse(np.ones(2), np.ones(1))


def test_auc_and_log_loss_are_those_of_scikit_learn():
    from sklearn.metrics import log_loss as their_log_loss
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(2)
    chances = np.round(rng.random(500), 2)  # with ties
    happened = rng.random(500) < chances
    assert auc(chances, happened) == pytest.approx(roc_auc_score(happened, chances), abs=1e-9)
    inside = np.clip(chances, 0.01, 0.99)  # each library cuts 0 and 1 off in its own way
    assert log_loss(inside, happened) == pytest.approx(their_log_loss(happened, inside), abs=1e-9)
