"""The pulse of items, counted by hand."""

from dataclasses import fields

import numpy as np
import pytest

from ml.candidates.pulse import MEAN_DAYS, PRIOR_BUYERS, PRIOR_BUYERS_28D, PRIOR_RETURNS, pulse_of
from ml.contract.events import EventType
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog
from ml.runtime.pulse import PULSE, Pulse

TODAY = 500
CUT = TODAY * SECONDS_PER_DAY
TEA, CUP, LAMP = 0, 1, 2
ANN, BEN = 0, 1


def log(*events: tuple[int, int, int], kind: EventType = EventType.PURCHASE) -> InteractionLog:
    """Of (user, item, days ago)."""
    users, items, ages = (
        np.array(column, np.int64) for column in zip(*sorted(events, key=lambda e: -e[2]), strict=True)
    )
    at = (TODAY - ages) * SECONDS_PER_DAY
    return InteractionLog(
        user_rows=users.astype(np.int32),
        item_rows=items.astype(np.int32),
        event_codes=np.full(len(users), kind.code, np.int8),
        occurred_at=at,
        known_at=at,
        quantity=np.ones(len(users), np.float32),
        amount=np.full(len(users), np.nan, np.float32),
        basket_rows=np.full(len(users), -1, np.int32),
    )


EVENTS = log((ANN, TEA, 50), (ANN, TEA, 50), (ANN, TEA, 20), (ANN, TEA, 2), (BEN, TEA, 10), (BEN, CUP, 40))
"""Ann came back for tea after 30 and after 18 days; two lines on her first day are one occasion."""


def pulse(name: str, item: int, events: InteractionLog = EVENTS) -> float:
    return float(pulse_of(events, num_items=3, cut=CUT).values[item, PULSE.index(name)])


@pytest.mark.parametrize(
    ("name", "item", "expected"),
    [
        ("events_1d", TEA, 0),
        ("events_3d", TEA, 1),
        ("buyers_3d", TEA, 1),
        ("buyers_14d", TEA, 2),
        ("buyers_60d", TEA, 4),
        ("trend_14d", TEA, (2 + 0.5) / (2 * 14 / 46 + 0.5)),
        ("trend_14d", LAMP, 1),
        ("new_buyers_28d", TEA, 1),
        ("returning_buyers_28d", TEA, 2),
        ("returning_rate_28d", TEA, 2 / (2 + PRIOR_BUYERS_28D)),
        ("returning_share", TEA, 1 / (2 + PRIOR_BUYERS)),
        ("returning_share", CUP, 0),
        ("days_between_purchases", TEA, (30 + 18 + PRIOR_RETURNS * 24) / (2 + PRIOR_RETURNS)),
        ("days_between_purchases", LAMP, (30 + 18) / 2),
    ],
)
def test_what_moves_an_item(name, item, expected):
    assert pulse(name, item) == pytest.approx(expected)


def test_where_nobody_came_back_a_month_is_assumed():
    assert pulse("days_between_purchases", CUP, log((BEN, CUP, 40))) == MEAN_DAYS


def test_a_shop_without_purchases_counts_its_heaviest_event():
    viewed = log((ANN, TEA, 2), (BEN, TEA, 1), kind=EventType.VIEW)
    assert pulse("buyers_3d", TEA, viewed) == 2


def test_an_empty_shop_has_no_pulse():
    nothing = EVENTS.where(np.zeros(len(EVENTS), np.bool_))
    assert not pulse_of(nothing, num_items=3, cut=CUT).values.any()


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    before = pulse_of(EVENTS, num_items=3, cut=CUT)
    before.save(tmp_path / "pulse.npy")
    after = Pulse.load(tmp_path / "pulse.npy")
    for field in fields(before):
        np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))
