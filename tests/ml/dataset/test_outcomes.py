"""What came of each pair of user and item in a week."""

from datetime import timedelta

import numpy as np
import pytest

from ml.contract.events import EVENT_TYPES, EventType
from ml.dataset.outcomes import HIGH_AMOUNT, OUTCOMES, Outcomes, outcomes_between
from ml.features.log import InteractionLog

START = 1_000_000
END = START + int(timedelta(days=7).total_seconds())
NAN = float("nan")


def log(*events: tuple[int, int, EventType, float, int]) -> InteractionLog:
    """Of (user, item, event type, amount, instant), in the order they happened."""
    users, items, types, amounts, at = zip(*events, strict=True)
    return InteractionLog(
        user_rows=np.array(users, np.int32),
        item_rows=np.array(items, np.int32),
        event_codes=np.array([EVENT_TYPES.index(event_type) for event_type in types], np.int8),
        occurred_at=np.array(at, np.int64),
        known_at=np.array(at, np.int64),
        quantity=np.ones(len(users), np.float32),
        amount=np.array(amounts, np.float32),
        basket_rows=np.full(len(users), -1, np.int32),
    )


WEEK = log(
    (4, 2, EventType.VIEW, NAN, START - 1),
    (4, 8, EventType.VIEW, NAN, START),
    (4, 8, EventType.PURCHASE, 9.0, START + 1),
    (4, 3, EventType.VIEW, NAN, START + 2),
    (5, 3, EventType.RETURN, NAN, START + 3),
    (6, 1, EventType.PURCHASE, 99.0, START + 4),
    (6, 1, EventType.PURCHASE, 4.0, END),
)


def found(events: InteractionLog = WEEK, goal: EventType = EventType.PURCHASE) -> Outcomes:
    return outcomes_between(events, START, END, event_type=goal)


def test_users_and_their_items_are_those_that_found_favour_in_the_window():
    goals = found().goals
    assert goals.user_rows.tolist() == [4, 6]  # a return is no favour
    assert [goals.of(i).tolist() for i in range(2)] == [[3, 8], [1]]


def test_a_view_is_a_click_and_only_a_purchase_is_a_conversion():
    assert found().values[:, : OUTCOMES.index("revenue")].tolist() == [[1, 0], [1, 1], [1, 1]]


def test_revenue_is_a_share_of_what_counts_as_much():
    high = np.quantile([9.0, 99.0], HIGH_AMOUNT)
    assert found().values[:, 2].tolist() == pytest.approx([0, np.log1p(9.0) / np.log1p(high), 1], rel=1e-6)


def test_what_came_of_an_item_is_found_by_its_row():
    rows = np.array([1, 3, 8, 9], np.int32)
    assert found().of(0, rows)[:, :2].tolist() == [[0, 0], [1, 0], [1, 1], [0, 0]]


def test_where_no_amount_is_known_revenue_says_what_conversion_says():
    values = found(log((4, 8, EventType.PURCHASE, NAN, START), (4, 3, EventType.VIEW, NAN, START))).values
    assert values[:, 2].tolist() == values[:, 1].tolist() == [0, 1]


def test_nothing_comes_of_a_window_without_events():
    outcomes = outcomes_between(WEEK, END + 1, END + 2, event_type=EventType.PURCHASE)
    assert len(outcomes.goals) == 0
    assert outcomes.values.shape == (0, len(OUTCOMES))
