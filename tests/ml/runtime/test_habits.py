"""Habits, worked out by hand on one shopping diary."""

import numpy as np
import pytest

from ml.contract.events import EventType
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.habits import ITEM_HABITS, RHYTHM, habits

TODAY = 1_000
AT = TODAY * SECONDS_PER_DAY
BREAD, SOAP, LAMP, NEVER = 7, 3, 9, 1


def bought(*lines: tuple[int, int], kind: EventType = EventType.PURCHASE) -> History:
    """Of (item row, days ago), oldest first."""
    rows, ages = (np.array(column) for column in zip(*lines, strict=True))
    return History(
        rows.astype(np.int32),
        np.full(len(rows), kind.code, np.int8),
        (TODAY - ages).astype(np.int64) * SECONDS_PER_DAY,
        np.ones(len(rows), np.float32),
    )


DIARY = bought((BREAD, 40), (BREAD, 40), (SOAP, 40), (LAMP, 30), (BREAD, 20), (SOAP, 10), (LAMP, 10))
"""Four occasions, ten days from one to the next; two lines of bread on the first are one."""


def of_item(name: str, row: int, history: History = DIARY) -> float:
    return float(habits(history, np.array([row], np.int32), at=AT).of_items[0, ITEM_HABITS.index(name)])


def rhythm(name: str, history: History = DIARY) -> float:
    return float(habits(history, np.array([BREAD], np.int32), at=AT).rhythm[RHYTHM.index(name)])


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("occasion_share", BREAD, 2 / 4),
        ("occasions_since", BREAD, 1),
        ("occasions_since", SOAP, 0),
        ("occasion_share_since_first", BREAD, 2 / 4),
        ("occasion_share_since_first", LAMP, 2 / 3),
        ("last_3_occasions", BREAD, 1),
        ("last_3_occasions", LAMP, 2),
        ("occasion_share", NEVER, 0),
        ("last_3_occasions", NEVER, 0),
    ],
)
def test_what_an_item_is_to_its_buyer(name, row, expected):
    assert of_item(name, row) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["occasions_since", "occasion_share_since_first"])
def test_there_is_no_time_since_what_never_was(name):
    assert np.isnan(of_item(name, NEVER))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("occasions", 4),
        ("days_between_occasions", (40 - 10) / 3),
        ("occasion_due", 10 / 10),
        ("items_per_occasion", (2 + 1 + 1 + 2) / 4),
        ("share_new", 3 / 6),
    ],
)
def test_the_rhythm_of_a_person(name, expected):
    assert rhythm(name) == pytest.approx(expected)


def test_one_occasion_has_no_rhythm_yet():
    once = bought((BREAD, 5), (SOAP, 5))
    assert rhythm("occasions", once) == 1
    assert np.isnan(rhythm("days_between_occasions", once))
    assert np.isnan(rhythm("occasion_due", once))


def test_who_only_looked_has_no_occasions():
    looked = bought((BREAD, 5), (SOAP, 4), kind=EventType.VIEW)
    assert rhythm("occasions", looked) == 0
    assert np.isnan(rhythm("items_per_occasion", looked))
    assert of_item("occasion_share", BREAD, looked) == 0


def test_one_row_for_each_item_asked_about():
    asked = np.array([NEVER, SOAP, BREAD, LAMP], np.int32)
    found = habits(DIARY, asked, at=AT).of_items
    assert found.shape == (4, len(ITEM_HABITS))
    assert found[:, ITEM_HABITS.index("occasion_share")].tolist() == pytest.approx([0, 2 / 4, 2 / 4, 2 / 4])
