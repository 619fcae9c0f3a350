"""What happens in the shop on one day; a day needs no other day to be known."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ml.contract.events import EventType
from ml.contract.types import Rows
from ml.features.history import SECONDS_PER_DAY
from ml.simulator.browsing import Sessions, clicked, own_looks, shown_lists
from ml.simulator.buying import followed, returns, staples_bought
from ml.simulator.conditions import Conditions
from ml.simulator.draws import happens
from ml.simulator.events import Events
from ml.simulator.shelves import ShownLists
from ml.simulator.world import World

MAX_DELAY_DAYS = 3
"""Of late rows and of returns."""
LATE_SHARE = 0.02


@dataclass(frozen=True)
class Happened:
    """Everything that began on one day; some of its rows arrive up to `MAX_DELAY_DAYS` later."""

    day: int
    events: Events
    shown: ShownLists
    shown_to: Rows
    """User of each shown place."""
    shown_at: NDArray[np.float64]


def happened_on(world: World, day: int) -> Happened:
    """One clean day; deterministic in (seed, day)."""
    rng = np.random.default_rng(np.random.SeedSequence([world.settings.seed, day + 1]))
    conditions = Conditions.of(world, day)
    sessions = Sessions.draw(rng, world, conditions)
    asking, shown = shown_lists(rng, world, conditions, sessions)
    opened = own_looks(rng, world, conditions, sessions)
    from_lists = clicked(rng, world, sessions, asking, shown)
    browsed = [*followed(rng, conditions, sessions, opened), *followed(rng, conditions, sessions, from_lists)]
    bought_again = staples_bought(rng, world, conditions, first_session=len(sessions))
    events = _in_order(bought_again.and_also(browsed))
    events = events.and_also([returns(rng, events)])
    return Happened(
        day=day,
        events=_numbered(_received(rng, events)),
        shown=shown,
        shown_to=sessions.user_rows[asking][shown.request_rows],
        shown_at=sessions.started[asking][shown.request_rows],
    )


def _received(rng: np.random.Generator, events: Events) -> Events:
    """Most rows arrive within seconds, a few after one to three days."""
    late = happens(rng, LATE_SHARE, len(events)) & (events.event_codes != EventType.RETURN.code)
    delay = np.where(
        late, rng.integers(1, MAX_DELAY_DAYS + 1, len(events)) * SECONDS_PER_DAY, rng.integers(1, 20, len(events))
    )
    # A row that would arrive after the last day it may still be late arrives in that day's last second.
    return replace(events, received=np.minimum(events.seconds + delay, (MAX_DELAY_DAYS + 1) * SECONDS_PER_DAY - 1))


def _in_order(events: Events) -> Events:
    """By whole seconds; of rows equal in user, item, type and second only one: the shop's systems merge them."""
    events = replace(events, seconds=np.floor(events.seconds))
    keys = (events.item_rows, events.user_rows, events.event_codes, events.seconds)
    order = np.lexsort(keys)
    repeated = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    return events.where(order[np.concatenate([[True], ~repeated])[: len(order)]])


def _numbered(events: Events) -> Events:
    return replace(events, numbers=np.arange(len(events), dtype=np.int32))
