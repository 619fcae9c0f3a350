import numpy as np
import pytest

from ml.contract.errors import ContractError
from ml.evaluation import intervals
from ml.evaluation.intervals import BootstrapSettings, mean_interval, mean_intervals, paired_interval

RNG = np.random.default_rng(1)


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide_on_each_side():
    values = RNG.normal(3.0, 1.0, 2500)
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(values.mean())
    for bound in (interval.mean - interval.low, interval.high - interval.mean):
        assert bound == pytest.approx(1.96 / 2500**0.5, rel=0.15)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    settings = BootstrapSettings(resamples=300, confidence=0.9)
    held = [
        interval.low <= 0.3 <= interval.high
        for interval in mean_intervals((RNG.random((150, 200)) < 0.3).astype(float), settings)
    ]
    assert 0.82 <= np.mean(held) <= 0.97


def test_users_who_were_not_judged_are_left_out():
    values = RNG.random(40)
    with_gaps = np.insert(values, [3, 20], np.nan)
    assert mean_interval(with_gaps).mean == pytest.approx(values.mean())
    assert mean_interval(with_gaps).num_users == 40


def test_nobody_judged_has_no_mean_and_never_a_zero():
    for nobody in (np.empty(0), np.full(3, np.nan)):
        interval = mean_interval(nobody)
        assert (interval.mean, interval.low, interval.high, interval.num_users) == (None, None, None, 0)


def test_the_same_seed_gives_the_same_interval_and_blocks_do_not_matter(monkeypatch):
    values = RNG.random(50)
    first = mean_interval(values)
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 50 * 1000)
    assert mean_interval(values) == first
    assert mean_interval(values, BootstrapSettings(seed=8)) != first


def test_memory_is_bounded_by_drawing_in_blocks(monkeypatch):
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 120)
    sizes = [len(block) for block in intervals._draws(50, BootstrapSettings(resamples=101))]
    assert sizes == [2] * 50 + [1]


def test_a_pair_is_much_surer_than_its_parts():
    hard = RNG.random(400)
    pair = paired_interval(hard + 0.02 + RNG.normal(0, 0.01, 400), hard)
    assert pair.difference.low > 0.018
    assert mean_interval(hard + 0.02).low < hard.mean()
    assert pair.ratio.low < (hard + 0.02).mean() / hard.mean() < pair.ratio.high


def test_a_ratio_to_something_that_may_be_zero_is_undefined_while_the_difference_is_not():
    pair = paired_interval(np.array([0.5, 0.5, 0.5]), np.array([0.0, 0.0, 1.0]))
    assert pair.ratio.mean is None
    assert pair.difference.mean == pytest.approx(0.5 - 1 / 3)


def test_a_pair_counts_only_users_both_were_judged_on():
    pair = paired_interval(np.array([1.0, np.nan, 1.0]), np.array([0.5, 0.5, np.nan]))
    assert (pair.difference.mean, pair.difference.num_users) == (0.5, 1)


def test_a_pair_of_other_users_is_refused():
    with pytest.raises(ContractError, match="same users in the same order"):
        paired_interval(np.ones(3), np.ones(2))


def test_values_of_one_user_are_drawn_together_so_that_repeating_them_makes_nothing_surer():
    values = RNG.random(200)
    once, twice = np.arange(200), np.tile(np.arange(200), 2)
    alone = mean_interval(values, owners=once)
    repeated = mean_interval(np.tile(values, 2), owners=twice)
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))
    assert alone == mean_interval(values)
    apart = mean_interval(np.tile(values, 2))
    assert apart.high - apart.low < 0.8 * (repeated.high - repeated.low)


def test_a_pair_of_several_weeks_is_drawn_by_user_too():
    theirs = RNG.random(300)
    ours = theirs * RNG.normal(1.1, 0.2, 300)
    alone = paired_interval(ours, theirs, owners=np.arange(300)).ratio
    repeated = paired_interval(np.tile(ours, 3), np.tile(theirs, 3), owners=np.tile(np.arange(300), 3)).ratio
    assert (repeated.mean, repeated.low, repeated.high) == pytest.approx((alone.mean, alone.low, alone.high))
    assert alone.low > 1.0
