"""Whatever a target was turned into, its inverse gives it back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.errors import DataError
from ml.features.transforms import TargetTransform

amounts = st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=50)


@given(amounts, st.sampled_from(["z_score", "unit"]))
def test_the_inverse_is_exact_between_the_clips(values, to):
    known = np.array(values, np.float64)
    fitted = TargetTransform.fit(known, clip=(0, 100), to=to)
    back = fitted.inverse(fitted.apply(known))
    # `apply` answers in float32: 2^-24 of what it answers, times the scale, is lost of the logarithm, and no more.
    normalised = np.abs((np.log1p(known) - fitted.mean) / fitted.scale)
    lost = (normalised * fitted.scale + 1e-6) * 2.0**-23
    assert np.all(np.abs(np.log1p(back) - np.log1p(known)) <= lost + 1e-12)


@given(amounts, st.sampled_from(["z_score", "unit"]))
def test_what_lies_outside_the_percentiles_comes_back_as_the_percentile(values, to):
    fitted = TargetTransform.fit(np.array(values, np.float64), to=to)
    back = fitted.inverse(fitted.apply(np.array([0.0, 1e7])))
    assert back == pytest.approx([fitted.low, fitted.high], rel=1e-4, abs=1e-4)


@given(amounts)
def test_a_unit_target_lies_between_nought_and_one(values):
    known = np.array(values, np.float64)
    applied = TargetTransform.fit(known, to="unit").apply(known)
    assert applied.min() >= -1e-6
    assert applied.max() <= 1 + 1e-6


@given(amounts, st.floats(0.01, 100), st.floats(-50, 50))
def test_a_line_through_answers_that_lie_on_one_gives_the_targets_back(values, slope, level):
    targets = np.array(values, np.float64) / 1e6
    fitted = TargetTransform(low=0, high=1, mean=0, scale=1).calibrated((targets - level) / slope, targets)
    if targets.std() > 1e-3:
        assert fitted.normalised((targets - level) / slope) == pytest.approx(targets, abs=1e-4)


def test_answers_against_the_order_of_the_targets_say_the_mean():
    fitted = TargetTransform(low=0, high=1, mean=0, scale=1).calibrated(np.array([1.0, 2.0]), np.array([4.0, 2.0]))
    assert fitted.normalised(np.array([1.0, 2.0])).tolist() == [3.0, 3.0]


def test_a_logit_is_squashed_before_it_is_turned_back():
    fitted = TargetTransform.fit(np.array([0.0, 3.0]), clip=(0, 100), to="unit")
    assert fitted.normalised(np.array([0.0])).tolist() == [0.5]
    assert fitted.inverse(np.array([0.5])) == pytest.approx(np.exp(0.5 * np.log(4)) - 1)


@pytest.mark.parametrize("values", [[], [np.nan], [-1.0, 2.0]])
def test_a_target_nobody_knows_or_below_zero_is_refused(values):
    with pytest.raises(DataError, match="at least one known value and none below zero"):
        TargetTransform.fit(np.array(values))
