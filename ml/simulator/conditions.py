"""What the shop is like on one day: who may come, what is on the shelf, at what price, in which season."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.simulator.noise import uniform_of
from ml.simulator.world import World

WEEKDAY_RATES = (0.92, 0.90, 0.93, 0.96, 1.05, 1.20, 1.04)
SEASON_STRENGTH = 0.12
STOCK_OUT_DAYS, STOCK_OUT_SHARE = 7, 0.04
PROMOTION_DAYS, PROMOTION_SHARE, PROMOTION_DISCOUNT = 7, 0.08, 0.2
INTEREST_DAYS = 12
"""A user's passing interest in one kind lasts so long: what was looked at lately says what comes next."""
NOVELTY_BOOST, NOVELTY_DAYS = 0.8, 15

DRIFT_PRICE_FACTOR = 2.2
DRIFT_CATEGORY_SHIFT = 0.9
DRIFT_CART_SHIFT = -1.0

_STOCK, _PROMOTION, _INTEREST, _LEVEL = 1, 2, 3, 4


@dataclass(frozen=True)
class Conditions:
    """One day. Item arrays are of the whole catalogue, `[num_items]`."""

    day: int
    """Days after opening."""
    live_items: NDArray[np.bool_]
    in_stock: NDArray[np.bool_]
    quality: Floats
    """With the boost of novelty."""
    prices: Floats
    kind_weights: Floats
    """`[num_kinds]`: season and drift."""
    cart_shift: float
    visit_rate: float

    @classmethod
    def of(cls, world: World, day: int) -> "Conditions":
        settings, catalogue = world.settings, world.catalogue
        drifted = settings.drift_from is not None and day >= (settings.drift_from - settings.opened_on).days
        live = (catalogue.launched <= day) & (day < catalogue.ends)
        novelty = NOVELTY_BOOST * np.exp(-np.maximum(day - catalogue.launched, 0) / NOVELTY_DAYS)
        return cls(
            day=day,
            live_items=live,
            in_stock=live & (stock_levels(world, day) > 0),
            quality=(catalogue.quality + np.where(catalogue.launched > 0, novelty, 0)).astype(np.float32),
            prices=_prices(world, day, drifted=drifted),
            kind_weights=_kind_weights(world, day, drifted=drifted),
            cart_shift=DRIFT_CART_SHIFT if drifted else 0.0,
            visit_rate=WEEKDAY_RATES[day_of(world, day).weekday()],
        )


def day_of(world: World, day: int) -> date:
    return world.settings.opened_on + timedelta(days=day)


def present_users(world: World, day: int) -> Rows:
    people = world.people
    # Nobody acts on the very day of signing up, so that no event can come before it.
    return np.flatnonzero((people.signed_up < day) & (day < people.leaves)).astype(np.int32)


def stock_levels(world: World, day: int) -> NDArray[np.int64]:
    """Pieces in stock `[num_items]`; about one item in twenty-five is out for a week at a time."""
    rows = np.arange(len(world.catalogue.kinds))
    week = (day + rows % STOCK_OUT_DAYS) // STOCK_OUT_DAYS
    out = uniform_of(world.settings.seed, _STOCK, rows, week) < STOCK_OUT_SHARE
    level = 5 + 200 * uniform_of(world.settings.seed, _LEVEL, rows, day)
    return np.where(out, 0, level).astype(np.int64)


def passing_interests(world: World, day: int, user_rows: Rows, weights: Floats) -> Rows:
    """The kind each user is after these days, drawn with the user's own odds `[n], [n, num_kinds] -> [n]`."""
    spell = (day + user_rows % INTEREST_DAYS) // INTEREST_DAYS
    chances = uniform_of(world.settings.seed, _INTEREST, user_rows, spell)
    bounds = np.cumsum(weights, axis=1)
    found = (bounds <= (chances * bounds[:, -1])[:, None]).sum(axis=1)
    return np.minimum(found, world.num_kinds - 1).astype(np.int32)


def _prices(world: World, day: int, *, drifted: bool) -> Floats:
    rows = np.arange(len(world.catalogue.kinds))
    week = (day + rows % PROMOTION_DAYS) // PROMOTION_DAYS
    promoted = uniform_of(world.settings.seed, _PROMOTION, rows, week) < PROMOTION_SHARE
    prices = world.catalogue.prices * np.where(promoted, 1 - PROMOTION_DISCOUNT, 1.0)
    return np.round(prices * (DRIFT_PRICE_FACTOR if drifted else 1.0), 2).astype(np.float32)


def _kind_weights(world: World, day: int, *, drifted: bool) -> Floats:
    years = day_of(world, day).timetuple().tm_yday / 365
    logs = SEASON_STRENGTH * np.sin(2 * np.pi * (years + world.season_phases))
    if drifted:
        logs = logs + DRIFT_CATEGORY_SHIFT * np.where(np.arange(len(logs)) % 2, 1, -1)
    return np.exp(logs)[world.categories_of_kinds].astype(np.float32)
