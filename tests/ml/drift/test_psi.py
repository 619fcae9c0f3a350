from datetime import datetime
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.contract.errors import DataError
from ml.drift.psi import EPSILON, CategoryBins, DriftReference, NumberBins, fit_bins, psi


def counts(*rows: int) -> np.ndarray:
    return np.array(rows)


def test_psi_is_the_sum_over_bins_of_share_differences_times_log_ratios() -> None:
    expected = (0.2 - 0.5) * log(0.2 / 0.5) + (0.3 - 0.3) * log(1) + (0.5 - 0.2) * log(0.5 / 0.2)
    assert psi(counts(5, 3, 2), counts(20, 30, 50)) == pytest.approx(expected)


def test_psi_is_the_same_whichever_side_is_the_reference() -> None:
    assert psi(counts(5, 3, 2), counts(2, 3, 5)) == pytest.approx(psi(counts(2, 3, 5), counts(5, 3, 2)))


def test_an_empty_bin_counts_as_the_least_share() -> None:
    expected = (0.5 - EPSILON) * log(0.5 / EPSILON) + (0.5 - 1) * log(0.5 / 1)
    assert psi(counts(10, 0), counts(5, 5)) == pytest.approx(expected)


def test_a_rare_bin_does_not_change_what_another_bin_says() -> None:
    """A floor below the least share, as some tools use, lets one rare category quadruple another's term."""
    new_category = psi(counts(10_000, 0), counts(9_900, 100))
    beside_a_rare_one = psi(counts(9_999, 1, 0), counts(9_899, 1, 100))
    assert beside_a_rare_one == pytest.approx(new_category, rel=0.01)


def test_a_bin_empty_on_both_sides_says_nothing() -> None:
    assert psi(counts(10, 0, 10), counts(1, 0, 1)) == 0


@pytest.mark.parametrize(
    ("current", "message"), [(counts(0, 0), "at least one row on each side"), (counts(1, 2, 3), "same bins")]
)
def test_what_cannot_be_compared_is_an_error_not_a_number(current: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        psi(counts(1, 2), current)


def test_deciles_hold_a_tenth_of_the_reference_each() -> None:
    bins = NumberBins.fit(pd.Series(np.random.default_rng(0).permutation(1000).astype(float)))
    assert len(bins.edges) == 9
    assert sum(bins.counts) == 1000
    assert all(abs(rows - 100) <= 1 for rows in bins.counts[:-1])


def test_ties_stay_in_one_bin() -> None:
    bins = NumberBins.fit(pd.Series([0.0] * 600 + list(range(1, 401))))
    assert bins.counts[0] == 600


def test_missing_numbers_are_a_bin_of_their_own() -> None:
    numbers = pd.Series(np.arange(100.0))
    bins = fit_bins(numbers)
    half_missing = numbers.where(numbers.index % 2 == 0)
    assert bins.count(half_missing)[-1] == 50
    assert psi(np.array(bins.counts), bins.count(half_missing)) > 0.2


@pytest.mark.parametrize("moved_to", [4.0, 6.0])
def test_a_constant_that_moves_either_way_is_seen(moved_to: float) -> None:
    bins = fit_bins(pd.Series([5.0] * 100))
    assert psi(np.array(bins.counts), bins.count(pd.Series([5] * 100))) == 0
    assert psi(np.array(bins.counts), bins.count(pd.Series([moved_to] * 100))) > 0.2


def test_categories_are_counted_by_name_then_others_then_missing() -> None:
    bins = CategoryBins.fit(pd.Series(["a", "b", "a", "c", None]), top=2)
    assert bins.categories == ("a", "b")
    assert bins.counts == (2, 1, 1, 1)
    assert bins.count(pd.Series(["b", "z", None, None])).tolist() == [0, 1, 1, 2]


def test_a_new_category_trips_the_alarm_once_it_is_frequent() -> None:
    bins = fit_bins(pd.Series(["a", "b"] * 500))
    few, many = (pd.Series(["a", "b"] * 500 + ["new"] * count) for count in (5, 200))
    assert psi(np.array(bins.counts), bins.count(few)) < 0.1
    assert psi(np.array(bins.counts), bins.count(many)) > 0.2


def test_a_moved_heavy_tail_is_seen() -> None:
    """Equal-width bins over both sides say 0.010 here: everything lies in the first one."""
    rng = np.random.default_rng(0)
    bins = fit_bins(pd.Series(rng.lognormal(3, 1, 20_000)))
    assert psi(np.array(bins.counts), bins.count(pd.Series(rng.lognormal(3.3, 1, 20_000)))) == pytest.approx(
        0.09, abs=0.02
    )


FRAME = pd.DataFrame({"price": np.arange(40.0), "event_type": ["view", "purchase"] * 20})
START, END = datetime(2026, 9, 1), datetime(2026, 9, 29)


def test_a_reference_says_the_same_after_it_was_saved_and_loaded(tmp_path: Path) -> None:
    reference = DriftReference.fit(FRAME, window_start=START, window_end=END)
    reference.save(tmp_path / "drift_reference.json")
    loaded = DriftReference.load(tmp_path / "drift_reference.json")
    assert loaded == reference
    assert loaded.drift_of(FRAME) == {"price": 0.0, "event_type": 0.0}
    assert loaded.drift_of(FRAME[FRAME["event_type"] == "view"])["event_type"] > 0.2


def test_a_window_without_a_watched_feature_is_an_error() -> None:
    reference = DriftReference.fit(FRAME, window_start=START, window_end=END)
    with pytest.raises(DataError, match="Missing: event_type"):
        reference.drift_of(FRAME[["price"]])


def test_an_empty_reference_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one row"):
        fit_bins(pd.Series([], dtype=float))
