"""The demo's logging policy says its own odds truly."""

import numpy as np
import pytest

from ml.simulator.shelves import LIST_LENGTH, LoggingPolicy, Shelves


def policy_of(sizes: list[int]) -> LoggingPolicy:
    kinds = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    shelves = Shelves.of(kinds, np.ones(len(kinds), np.bool_), num_kinds=len(sizes))
    return LoggingPolicy.of(shelves, np.linspace(2, -2, len(kinds)).astype(np.float32))


def test_shelves_hold_the_shown_items_of_each_kind():
    shelves = Shelves.of(np.array([1, 0, 1, 2], np.int32), np.array([True, True, False, True]), num_kinds=3)
    assert [shelves.of_kind(kind).tolist() for kind in range(3)] == [[1], [0], [3]]


@pytest.mark.parametrize("size", [1, 5, LIST_LENGTH, 19])
def test_propensities_are_the_shares_that_are_shown(size: int):
    num_requests = 40_000
    shown = policy_of([size]).show(np.random.default_rng(1), np.zeros(num_requests, np.int32))
    places = min(size, LIST_LENGTH)
    shown_share = np.zeros((size, places))
    np.add.at(shown_share, (shown.item_rows, shown.positions - 1), 1 / num_requests)
    stated = np.zeros((size, places))
    stated[shown.item_rows, shown.positions - 1] = shown.propensities
    assert stated == pytest.approx(shown_share, abs=0.01)
    assert stated.sum(axis=0) == pytest.approx(np.ones(places), abs=1e-5)


def test_a_short_shelf_makes_a_short_list_and_an_empty_one_none():
    shown = policy_of([3, 0, 20]).show(np.random.default_rng(1), np.array([0, 1, 2], np.int32))
    assert np.bincount(shown.request_rows, minlength=3).tolist() == [3, 0, LIST_LENGTH]
