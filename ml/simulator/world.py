"""The people and the catalogue of a demo shop, fixed by its seed before the first day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.simulator.draws import draw_columns
from ml.simulator.names import CONSUMABLE, COUNTRIES, SEGMENTS
from ml.simulator.settings import SIZES, ShopSettings, SizePlan

TASTES = 8
"""Dimensions of taste; one more carries the attitude to price."""
GROWTH_DAYS = 120
"""A size names what the shop holds after so many days; 70 % of its users and 80 % of its items are there on day one."""
HORIZON_DAYS = 5 * 365
"""New users and items appear so long; after that the shop goes on with those it has."""

# Spread (standard deviation over users) that each part of an item's appeal has. Taste clearly outweighs quality.
CATEGORY_SPREAD, KIND_SPREAD, BRAND_SPREAD, OWN_SPREAD, PRICE_SPREAD = 1.1, 0.9, 1.1, 1.1, 0.6
ZIPF_EXPONENT = 0.7

Days = NDArray[np.int32]
"""Days after opening; negative before it."""


@dataclass(frozen=True)
class People:
    """Users in the order they sign up. Arrays `[num_users]`."""

    tastes: Floats
    """`[num_users, TASTES + 1]`, standard normal; the last is the attitude to price."""
    segments: Rows
    countries: Rows
    signed_up: Days
    leaves: Days
    sessions_per_day: Floats


@dataclass(frozen=True)
class Catalogue:
    """Items in the order they are launched. Arrays `[num_items]`."""

    kinds: Rows
    """Sub-category; its category is `kinds // kinds_per_category`."""
    brands: Rows
    appeal: Floats
    """`[num_items, TASTES + 1]`: what tells an item from others of its kind; dotted with tastes."""
    quality: Floats
    """What everybody likes about it: Zipf."""
    prices: Floats
    launched: Days
    ends: Days


@dataclass(frozen=True)
class Staples:
    """What a user buys again and again. Arrays `[num_staples]`."""

    user_rows: Rows
    item_rows: Rows
    period_days: Days
    phase: Days


@dataclass(frozen=True)
class World:
    """Everything that is decided before the first day."""

    settings: ShopSettings
    plan: SizePlan
    people: People
    catalogue: Catalogue
    staples: Staples
    kind_centres: Floats
    """`[num_kinds, TASTES + 1]`: dotted with tastes, how much a user likes a kind."""
    season_phases: Floats
    """`[num_categories]`, in years."""

    @classmethod
    def of(cls, settings: ShopSettings) -> "World":
        plan = SIZES[settings.size]
        rng = np.random.default_rng(np.random.SeedSequence([settings.seed]))
        num_kinds = plan.num_categories * plan.kinds_per_category
        categories = _directions(rng, plan.num_categories, CATEGORY_SPREAD).repeat(plan.kinds_per_category, axis=0)
        kind_centres = categories + _directions(rng, num_kinds, KIND_SPREAD)
        catalogue = _catalogue(rng, plan, num_kinds)
        people = _people(rng, plan)
        return cls(
            settings=settings,
            plan=plan,
            people=people,
            catalogue=catalogue,
            staples=_staples(rng, plan, people, catalogue, kind_centres),
            kind_centres=kind_centres,
            season_phases=rng.random(plan.num_categories).astype(np.float32),
        )

    @property
    def num_kinds(self) -> int:
        return len(self.kind_centres)

    @property
    def categories_of_kinds(self) -> Rows:
        return (np.arange(self.num_kinds) // self.plan.kinds_per_category).astype(np.int32)


def _directions(rng: np.random.Generator, count: int, length: float) -> Floats:
    """Random vectors of one length in taste space, neutral to price `[count, TASTES + 1]`."""
    vectors = rng.standard_normal((count, TASTES))
    vectors *= length / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.pad(vectors, ((0, 0), (0, 1))).astype(np.float32)


def _arrivals(rng: np.random.Generator, *, at_opening: int, after_growth: int) -> Days:
    """Day of arrival of each user or item, ascending: day 0 for those there at opening, then a steady stream."""
    later = (after_growth - at_opening) * HORIZON_DAYS // GROWTH_DAYS
    days = np.sort(rng.integers(1, HORIZON_DAYS, later))
    return np.concatenate([np.zeros(at_opening, np.int64), days]).astype(np.int32)


def _lifetimes(rng: np.random.Generator, count: int, *, mean_days: float, for_ever: NDArray[np.bool_]) -> Days:
    days = 30 + rng.exponential(mean_days, count)
    return np.where(for_ever, np.iinfo(np.int32).max // 2, days).astype(np.int32)


def _people(rng: np.random.Generator, plan: SizePlan) -> People:
    at_opening = plan.num_users * 7 // 10
    signed_up = _arrivals(rng, at_opening=at_opening, after_growth=plan.num_users)
    count = len(signed_up)
    segments = rng.integers(0, len(SEGMENTS), count).astype(np.int32)
    centres = rng.standard_normal((len(SEGMENTS), TASTES + 1))
    tastes = 0.5 * centres[segments] + np.sqrt(0.75) * rng.standard_normal((count, TASTES + 1))
    # A third stays for ever, so that a shop of any age has customers.
    lifetimes = _lifetimes(rng, count, mean_days=400, for_ever=rng.random(count) < 1 / 3)
    joined = signed_up.copy()
    joined[:at_opening] = np.sort(rng.integers(-365, 1, at_opening))
    return People(
        tastes=tastes.astype(np.float32),
        segments=segments,
        countries=rng.choice(len(COUNTRIES), count, p=_zipf_shares(len(COUNTRIES))).astype(np.int32),
        signed_up=joined,
        leaves=signed_up + lifetimes,
        sessions_per_day=rng.gamma(1.5, 0.24 / 1.5, count).astype(np.float32),
    )


def _zipf_shares(count: int) -> NDArray[np.float64]:
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def _catalogue(rng: np.random.Generator, plan: SizePlan, num_kinds: int) -> Catalogue:
    at_opening = plan.num_items * 8 // 10
    launched = _arrivals(rng, at_opening=at_opening, after_growth=plan.num_items)
    count = len(launched)
    # The first items go round the kinds, so that none is empty; of these ten per kind stay for ever.
    kinds = np.where(np.arange(count) < at_opening, np.arange(count) % num_kinds, rng.integers(0, num_kinds, count))
    brands = rng.integers(0, plan.num_brands, count).astype(np.int32)
    relative_prices = rng.standard_normal(count)
    appeal = _directions(rng, plan.num_brands, BRAND_SPREAD)[brands] + _directions(rng, count, OWN_SPREAD)
    appeal[:, TASTES] = PRICE_SPREAD * relative_prices
    levels = rng.normal(2.6, 0.5, plan.num_categories)[kinds // plan.kinds_per_category]
    ranks = rng.permutation(count) + 1
    quality = -ZIPF_EXPONENT * np.log(ranks)
    return Catalogue(
        kinds=kinds.astype(np.int32),
        brands=brands,
        appeal=appeal,
        quality=(quality - quality.mean()).astype(np.float32),
        prices=np.round(np.exp(levels + 0.5 * relative_prices), 2).astype(np.float32),
        launched=launched,
        ends=launched + _lifetimes(rng, count, mean_days=500, for_ever=np.arange(count) < 10 * num_kinds),
    )


def _staples(
    rng: np.random.Generator, plan: SizePlan, people: People, catalogue: Catalogue, kind_centres: Floats
) -> Staples:
    """Zero to six a user, of consumable kinds they like: the best of eight items they could find when they signed up."""
    user_rows = np.repeat(np.arange(len(people.segments)), rng.integers(0, 7, len(people.segments))).astype(np.int32)
    consumable = int(plan.num_categories * CONSUMABLE) * plan.kinds_per_category
    liking = people.tastes @ kind_centres[:consumable].T
    kinds = draw_columns(rng, np.exp(liking), user_rows)
    order = np.argsort(catalogue.kinds, kind="stable")
    starts = np.searchsorted(catalogue.kinds[order], np.arange(len(kind_centres) + 1))
    by_kind_and_day = catalogue.kinds[order].astype(np.int64) * (2 * HORIZON_DAYS) + catalogue.launched[order]
    keys = kinds * (2 * HORIZON_DAYS) + np.maximum(people.signed_up[user_rows], 0)
    available = np.searchsorted(by_kind_and_day, keys, side="right") - starts[kinds]
    tried = order[starts[kinds][:, None] + (rng.random((len(kinds), 8)) * available[:, None]).astype(np.int64)]
    appeal = np.einsum("nk,nik->ni", people.tastes[user_rows], catalogue.appeal[tried]) + catalogue.quality[tried]
    period = rng.integers(7, 43, len(kinds)).astype(np.int32)
    return Staples(
        user_rows=user_rows,
        item_rows=tried[np.arange(len(kinds)), appeal.argmax(axis=1)].astype(np.int32),
        period_days=period,
        phase=(rng.random(len(kinds)) * period).astype(np.int32),
    )
