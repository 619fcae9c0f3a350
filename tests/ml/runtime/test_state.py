"""What the bundle holds of a user and what happened since become one history."""

from datetime import timedelta

import numpy as np
import pytest

from ml.contract.events import EVENT_TYPES, EventType
from ml.features.history import History
from ml.runtime.state import Event, OnlineState, state_of
from ml.runtime.users import HISTORY_KEPT
from tests import world

NOW = world.CUT + timedelta(hours=10)


def happened(item: int, kind: EventType = EventType.VIEW, *, minutes_ago: float = 5, quantity: float = 1.0) -> Event:
    return Event(world.item_id(item), kind, NOW - timedelta(minutes=minutes_ago), quantity)


def state(bundle, *events: Event, user: str | None = None, **more) -> OnlineState:
    return state_of(bundle, bundle.users.of(user), events, NOW, **more)


def test_without_events_the_state_is_the_bundles_record(bundle):
    known = bundle.users.of(world.user_id(1))
    found = state_of(bundle, known, [], NOW)
    assert found.history is known.history
    assert len(found.history) > 10


def test_live_events_follow_the_record_in_the_order_they_happened(bundle):
    known = bundle.users.of(world.user_id(1))
    found = state(bundle, happened(2, minutes_ago=1), happened(7, minutes_ago=3), user=world.user_id(1)).history
    assert len(found) == len(known.history) + 2
    assert found.item_rows[-2:].tolist() == [bundle.items.row(world.item_id(item)) for item in (7, 2)]
    assert (np.diff(found.occurred_at) >= 0).all()


def test_an_event_that_arrived_after_the_cut_but_happened_before_takes_its_place_in_time(bundle):
    known = bundle.users.of(world.user_id(1))
    between = int(known.history.occurred_at[3]) + 1
    late = Event(world.item_id(7), EventType.WISHLIST_ADD, world.CUT.fromtimestamp(between, world.CUT.tzinfo))
    found = state(bundle, late, user=world.user_id(1)).history
    assert found.event_codes.tolist().index(EventType.WISHLIST_ADD.code) == 4
    assert (np.diff(found.occurred_at) >= 0).all()


def test_what_the_record_holds_already_counts_once(bundle):
    known = bundle.users.of(world.user_id(1)).history
    again = [
        Event(
            bundle.items.vocabulary.id(int(row)),
            EVENT_TYPES[code],
            world.CUT.fromtimestamp(int(at), world.CUT.tzinfo) + timedelta(milliseconds=400),
        )
        for row, code, at in zip(known.item_rows, known.event_codes, known.occurred_at, strict=True)
    ]
    assert len(state(bundle, *again, user=world.user_id(1)).live) == 0
    assert len(state(bundle, *again).live) == len(known)


def test_two_equal_events_of_the_log_are_two(bundle):
    assert len(state(bundle, happened(1), happened(1)).history) == 2


def test_items_outside_the_bundle_are_counted_and_the_future_is_not_used(bundle):
    stranger = Event("not here", EventType.VIEW, NOW)
    found = state(bundle, stranger, stranger, happened(3), happened(4, minutes_ago=-1))
    assert found.unknown_items == 2
    assert found.history.item_rows.tolist() == [bundle.items.row(world.item_id(3))]


def test_no_more_than_the_newest_events_are_kept(bundle):
    events = [happened(number % 7, minutes_ago=number + 1) for number in range(HISTORY_KEPT + 20)]
    found = state(bundle, *events, user=world.user_id(1)).history
    assert len(found) == HISTORY_KEPT
    assert found.occurred_at[-1] == int((NOW - timedelta(minutes=1)).timestamp())


@pytest.mark.parametrize(
    ("kinds", "in_cart"),
    [
        ([EventType.CART_ADD], True),
        ([EventType.CART_ADD, EventType.VIEW], True),
        ([EventType.CART_ADD, EventType.CART_REMOVE], False),
        ([EventType.CART_ADD, EventType.CART_REMOVE, EventType.CART_ADD], True),
        ([EventType.CART_ADD, EventType.PURCHASE], False),
        ([EventType.VIEW], False),
    ],
)
def test_an_item_is_in_the_cart_until_it_is_taken_out_or_bought(bundle, kinds, in_cart):
    events = [happened(5, kind, minutes_ago=60 - place) for place, kind in enumerate(kinds)]
    found = state(bundle, *events).in_cart(at=int(NOW.timestamp()), kept_days=1)
    assert found.tolist() == ([bundle.items.row(world.item_id(5))] if in_cart else [])


def test_a_cart_is_forgotten_after_its_days(bundle):
    found = state(bundle, happened(5, EventType.CART_ADD, minutes_ago=25 * 60))
    assert found.in_cart(at=int(NOW.timestamp()), kept_days=1).tolist() == []
    assert len(found.in_cart(at=int(NOW.timestamp()), kept_days=2)) == 1


def test_purchases_are_known_ever_or_since(bundle):
    old, new = happened(8, EventType.PURCHASE, minutes_ago=600), happened(3, EventType.PURCHASE)
    found = state(bundle, old, new, happened(4))
    rows = [bundle.items.row(world.item_id(item)) for item in (3, 8)]
    assert found.purchased().tolist() == sorted(rows)
    assert found.purchased(since=int(NOW.timestamp()) - 3600).tolist() == rows[:1]


def test_a_state_of_nobody_is_empty():
    assert len(OnlineState("any", History.empty()).history) == 0
