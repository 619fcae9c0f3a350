"""Planted dirt: what real logs hold and a pipeline must find. About 2 % of the rows, bots included."""

from dataclasses import replace

import numpy as np

from ml.contract.events import EVENT_TYPES, EventType
from ml.contract.types import Rows
from ml.features.history import SECONDS_PER_DAY
from ml.simulator.conditions import Conditions
from ml.simulator.days import Happened
from ml.simulator.events import Events
from ml.simulator.world import GROWTH_DAYS, World

UNKNOWN_TYPES = ("hover", "scroll")
EVENT_NAMES = (*(str(event_type) for event_type in EVENT_TYPES), *UNKNOWN_TYPES)
NUM_BOTS = 2
BOT_EVENTS = 1_150

_SHARES = {
    "same_event": 0.30,
    "same_key": 0.10,
    "no_user": 0.14,
    "no_item": 0.10,
    "no_time": 0.06,
    "future": 0.12,
    "unknown_type": 0.16,
    "ancient": 0.02,
}
"""Of the dirty rows. A row has one fault only, so that planted and found counts can be compared."""
DIRT_KINDS = tuple(_SHARES)

_FUTURE_DAYS, _ANCIENT_DAYS = 40, 800


def with_dirt(world: World, happened: Happened) -> Happened:
    """The same day with faults in some rows and, on bot days, a bot's visit."""
    rng = np.random.default_rng(np.random.SeedSequence([world.settings.seed, happened.day + 1, 1]))
    events = _faulty(rng, happened.events, dirt_share=world.plan.dirt_share)
    if happened.day % GROWTH_DAYS in world.plan.bot_days:
        events = events.and_also([_bot_visit(rng, world, happened.day, first_number=len(happened.events) * 2)])
    return replace(happened, events=events)


def _faulty(rng: np.random.Generator, events: Events, *, dirt_share: float) -> Events:
    dirty = np.flatnonzero(rng.random(len(events)) < dirt_share)
    kinds = rng.choice(len(DIRT_KINDS), len(dirty), p=list(_SHARES.values()))

    def rows_with(kind: str) -> Rows:
        return dirty[kinds == DIRT_KINDS.index(kind)].astype(np.int32)

    user_rows, item_rows, codes = events.user_rows.copy(), events.item_rows.copy(), events.event_codes.copy()
    seconds = events.seconds.copy()
    user_rows[rows_with("no_user")] = -1
    item_rows[rows_with("no_item")] = -1
    seconds[rows_with("no_time")] = np.nan
    seconds[rows_with("future")] += _FUTURE_DAYS * SECONDS_PER_DAY
    seconds[rows_with("ancient")] -= _ANCIENT_DAYS * SECONDS_PER_DAY
    strange = rows_with("unknown_type")
    codes[strange] = len(EVENT_TYPES) + strange % len(UNKNOWN_TYPES)
    faulty = replace(events, user_rows=user_rows, item_rows=item_rows, event_codes=codes, seconds=seconds)
    same_key = events.where(rows_with("same_key"))
    renumbered = replace(same_key, numbers=same_key.numbers + np.int32(len(events)))
    return faulty.and_also([events.where(rows_with("same_event")), renumbered])


def _bot_visit(rng: np.random.Generator, world: World, day: int, *, first_number: int) -> Events:
    """One robot that opens every page it finds within half an hour."""
    conditions = Conditions.of(world, day)
    bot = world.plan.bot_days.index(day % GROWTH_DAYS) % NUM_BOTS
    item_rows = rng.choice(np.flatnonzero(conditions.live_items), BOT_EVENTS).astype(np.int32)
    seconds = np.floor(3_600 + 1.5 * np.arange(BOT_EVENTS, dtype=np.float64))
    nothing = np.full(BOT_EVENTS, -1, np.int32)
    return Events(
        user_rows=np.full(BOT_EVENTS, len(world.people.segments) + bot, np.int32),
        item_rows=item_rows,
        event_codes=np.full(BOT_EVENTS, EventType.VIEW.code, np.int8),
        seconds=seconds,
        received=seconds + 1,
        quantity=np.full(BOT_EVENTS, np.nan, np.float32),
        prices=conditions.prices[item_rows],
        session_rows=nothing,
        order_rows=nothing,
        request_rows=nothing,
        numbers=np.arange(first_number, first_number + BOT_EVENTS, dtype=np.int32),
    )
