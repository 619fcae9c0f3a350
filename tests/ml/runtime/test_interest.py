"""Readings of a history."""

import numpy as np
import pytest

from ml.contract.events import EventType
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.interest import Readings

NOW = 1_000 * SECONDS_PER_DAY


def readings(*events: tuple[int, EventType, float], newest_items: int = 10) -> Readings:
    """Of (item row, event type, days ago), the oldest first."""
    rows, types, ages = zip(*events, strict=True)
    history = History(
        np.array(rows, np.int32),
        np.array([event_type.code for event_type in types], np.int8),
        np.array([NOW - int(age * SECONDS_PER_DAY) for age in ages], np.int64),
        np.ones(len(rows), np.float32),
    )
    return Readings.of(history, at=NOW, decay_days=60.0, newest_items=newest_items, half_life=1.0)


def test_lasting_interest_forgets_nothing_and_fading_interest_does():
    found = readings((3, EventType.PURCHASE, 60), (5, EventType.PURCHASE, 0))
    assert found.lasting.rows.tolist() == found.fading.rows.tolist() == [3, 5]
    assert found.lasting.strengths.tolist() == pytest.approx([1 - np.exp(-1)] * 2)
    assert found.fading.strengths.tolist() == pytest.approx([1 - np.exp(-np.exp(-1)), 1 - np.exp(-1)])


def test_the_newest_items_count_by_moments_and_an_order_is_one():
    found = readings(
        (1, EventType.PURCHASE, 90), (2, EventType.PURCHASE, 9), (7, EventType.PURCHASE, 9), (4, EventType.VIEW, 1)
    ).newest
    strengths = dict(zip(found.rows.tolist(), found.strengths.tolist(), strict=True))
    assert strengths == pytest.approx({4: 1, 2: 1 / 2, 7: 1 / 2, 1: 1 / 4})


def test_an_item_seen_again_counts_from_the_last_time_and_once():
    found = readings((1, EventType.VIEW, 3), (2, EventType.VIEW, 2), (1, EventType.VIEW, 1)).newest
    assert dict(zip(found.rows.tolist(), found.strengths.tolist(), strict=True)) == pytest.approx({1: 1, 2: 1 / 2})


def test_of_the_newest_items_only_so_many_are_looked_at():
    found = readings(*((row, EventType.VIEW, 9 - row) for row in range(6)), newest_items=2).newest
    assert found.rows.tolist() == [4, 5]
    assert found.strengths.tolist() == [1 / 2, 1]


def test_what_was_given_back_is_no_newest_item():
    assert readings((1, EventType.VIEW, 3), (2, EventType.RETURN, 2)).newest.rows.tolist() == [1]


def test_who_did_nothing_is_interested_in_nothing():
    nothing = History.empty()
    found = Readings.of(nothing, at=NOW, decay_days=1, newest_items=5, half_life=1)
    assert [len(each.rows) for each in (found.lasting, found.fading, found.newest)] == [0] * 3
