"""What comes of looking: carts, purchases, staples bought again, returns."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ml.contract.events import EventType
from ml.features.history import SECONDS_PER_DAY
from ml.simulator.browsing import Looks, Sessions, start_times
from ml.simulator.conditions import Conditions
from ml.simulator.draws import happens, sigmoid
from ml.simulator.events import Events
from ml.simulator.world import World

CART_SHIFT, CART_SLOPE = -3.0, 0.55
BOUGHT_SHARE, REMOVED_SHARE = 0.6, 0.12
WISHED_SHARE, FAVOURED_SHARE = 0.03, 0.02
RETURNED_SHARE = 0.03
ORDERED_AFTER_SECONDS = 1_500
"""After the start of the session, whose last look is before that."""
STAPLE_CHANCES = (0.15, 0.55, 0.15)
"""Of buying a staple on the day before, the day and the day after it falls due."""


def followed(rng: np.random.Generator, conditions: Conditions, sessions: Sessions, looks: Looks) -> list[Events]:
    """Each look, and what came of it: a wish, a cart, a purchase, a change of mind."""
    count = len(looks)
    can_buy = conditions.in_stock[looks.item_rows]
    liked = sigmoid(CART_SHIFT + conditions.cart_shift + CART_SLOPE * looks.utility)
    carted = happens(rng, liked, count) & can_buy
    bought = carted & happens(rng, BOUGHT_SHARE, count)
    removed = carted & ~bought & happens(rng, REMOVED_SHARE, count)
    opened = np.where(
        looks.request_rows < 0,
        EventType.VIEW.code,
        np.where(looks.request_rows % 2 == 0, EventType.RECOMMENDATION_CLICK.code, EventType.CLICK.code),
    )
    steps = _Steps(rng, conditions, sessions, looks)
    return [
        steps.taken(np.ones(count, np.bool_), opened, delay=0),
        steps.taken(happens(rng, WISHED_SHARE, count), EventType.WISHLIST_ADD.code, delay=8),
        steps.taken(happens(rng, FAVOURED_SHARE, count), EventType.FAVORITE.code, delay=9),
        steps.taken(carted, EventType.CART_ADD.code, delay=20),
        steps.taken(removed, EventType.CART_REMOVE.code, delay=300),
        steps.bought(bought),
    ]


@dataclass(frozen=True)
class _Steps:
    """What a look can lead to, as events."""

    rng: np.random.Generator
    conditions: Conditions
    sessions: Sessions
    looks: Looks

    def taken(self, where: NDArray[np.bool_], event_codes: NDArray[np.integer] | int, *, delay: float) -> Events:
        """A step after some of the looks, up to `delay` seconds later and at least half of that."""
        rows = np.flatnonzero(where)
        seconds = self.looks.seconds[rows] + delay * (0.5 + 0.5 * self.rng.random(len(rows)))
        return self._events(rows, np.broadcast_to(event_codes, len(self.looks))[rows], seconds)

    def bought(self, where: NDArray[np.bool_]) -> Events:
        """Purchases. What a session buys, it buys in one order at one moment after its last look."""
        rows = np.flatnonzero(where)
        session_rows = self.looks.session_rows[rows]
        codes = np.full(len(rows), EventType.PURCHASE.code)
        events = self._events(rows, codes, self.sessions.started[session_rows] + ORDERED_AFTER_SECONDS)
        quantity = self.rng.geometric(0.8, len(rows)).astype(np.float32)
        return replace(events, quantity=quantity, order_rows=session_rows)

    def _events(self, rows: NDArray[np.integer], codes: NDArray[np.integer], seconds: NDArray[np.float64]) -> Events:
        looks, nothing = self.looks, np.full(len(rows), -1, np.int32)
        session_rows = looks.session_rows[rows]
        return Events(
            user_rows=self.sessions.user_rows[session_rows],
            item_rows=looks.item_rows[rows],
            event_codes=codes.astype(np.int8),
            seconds=seconds,
            received=seconds,
            quantity=np.full(len(rows), np.nan, np.float32),
            prices=self.conditions.prices[looks.item_rows[rows]],
            session_rows=session_rows,
            order_rows=nothing,
            request_rows=looks.request_rows[rows],
            numbers=nothing,
        )


def staples_bought(rng: np.random.Generator, world: World, conditions: Conditions, *, first_session: int) -> Events:
    """Purchases of staples that are due about now, one order a user."""
    staples, day = world.staples, conditions.day
    until_due = (staples.phase - day) % staples.period_days
    chance = np.select([until_due == 1, until_due == 0, until_due == staples.period_days - 1], STAPLE_CHANCES, 0.0)
    signed_up, leaves = world.people.signed_up[staples.user_rows], world.people.leaves[staples.user_rows]
    can_buy = conditions.in_stock[staples.item_rows] & (signed_up < day) & (day < leaves)
    rows = np.flatnonzero(happens(rng, chance.astype(np.float32), len(chance)) & can_buy)
    user_rows, item_rows = staples.user_rows[rows], staples.item_rows[rows]
    buyers, order_of = np.unique(user_rows, return_inverse=True)
    sessions = (first_session + order_of).astype(np.int32)
    seconds = start_times(rng, len(buyers))[order_of]
    return Events(
        user_rows=user_rows,
        item_rows=item_rows,
        event_codes=np.full(len(rows), EventType.PURCHASE.code, np.int8),
        seconds=seconds,
        received=seconds,
        quantity=rng.geometric(0.6, len(rows)).astype(np.float32),
        prices=conditions.prices[item_rows],
        session_rows=sessions,
        order_rows=sessions,
        request_rows=np.full(len(rows), -1, np.int32),
        numbers=np.full(len(rows), -1, np.int32),
    )


def returns(rng: np.random.Generator, events: Events) -> Events:
    """A few purchases come back, one or two days later, on the order's own ids."""
    bought = np.flatnonzero(events.event_codes == EventType.PURCHASE.code)
    back = events.where(bought[happens(rng, RETURNED_SHARE, len(bought))])
    seconds = back.seconds + np.round((1 + rng.random(len(back))) * SECONDS_PER_DAY)
    return replace(back, event_codes=np.full(len(back), EventType.RETURN.code, np.int8), seconds=seconds)
