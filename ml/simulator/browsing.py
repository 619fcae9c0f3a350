"""Who comes on a day, what they look at, and what they are shown."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.simulator.conditions import Conditions, passing_interests, present_users
from ml.simulator.draws import draw_by_taste, draw_columns, happens, sigmoid
from ml.simulator.shelves import LoggingPolicy, Shelves, ShownLists
from ml.simulator.world import World

INTEREST_SHARE = 0.55
"""Of the sessions that follow the user's passing interest; the others follow lasting taste."""
SIBLING_SHARE = 0.15
"""Of the looks that stray to another kind of the same category."""
LIST_SHARE = 0.5
EXTRA_LOOKS = 1.3
CLICK_SHIFT = -1.2
EXAMINED_FALL = 0.7
"""A place is looked at with probability position ** -0.7."""
LATEST_START = 86_400 - 3_600
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 10, 11, 10, 9, 9, 10, 12, 14, 16, 16, 13, 8, 0], np.float64)
"""Weights of starting hours, UTC; none in the last hour, so that a session ends on its day."""


@dataclass(frozen=True)
class Sessions:
    """Visits. Arrays `[num_sessions]`."""

    user_rows: Rows
    kinds: Rows
    started: NDArray[np.float64]
    """Seconds of the day."""

    @classmethod
    def draw(cls, rng: np.random.Generator, world: World, conditions: Conditions) -> Self:
        present = present_users(world, conditions.day)
        visits = rng.poisson(world.people.sessions_per_day[present] * conditions.visit_rate)
        visitors, visits = present[visits > 0], visits[visits > 0]
        liking = world.people.tastes[visitors] @ world.kind_centres.T
        weights = np.exp(liking) * conditions.kind_weights
        interests = passing_interests(world, conditions.day, visitors, weights)
        visitor_rows = np.repeat(np.arange(len(visitors)), visits).astype(np.int32)
        by_taste = draw_columns(rng, weights, visitor_rows)
        kinds = np.where(happens(rng, INTEREST_SHARE, len(visitor_rows)), interests[visitor_rows], by_taste)
        return cls(visitors[visitor_rows], kinds.astype(np.int32), start_times(rng, len(visitor_rows)))

    def __len__(self) -> int:
        return len(self.user_rows)


@dataclass(frozen=True)
class Looks:
    """Items that were opened. Arrays `[num_looks]`."""

    session_rows: Rows
    item_rows: Rows
    request_rows: Rows
    """List that led here, -1 when the user came by themselves."""
    utility: Floats
    seconds: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.item_rows)


def start_times(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    hours = rng.choice(24, count, p=HOURS / HOURS.sum())
    return np.minimum(hours * 3_600 + rng.random(count) * 3_600, LATEST_START)


def own_looks(rng: np.random.Generator, world: World, conditions: Conditions, sessions: Sessions) -> Looks:
    """What users look up by themselves: a softmax choice by taste and quality among the kind's live items."""
    session_rows = np.repeat(np.arange(len(sessions)), 1 + rng.poisson(EXTRA_LOOKS, len(sessions))).astype(np.int32)
    kinds = _strayed(rng, sessions.kinds[session_rows], world.plan.kinds_per_category)
    shelves = Shelves.of(world.catalogue.kinds, conditions.live_items, num_kinds=world.num_kinds)
    tastes = world.people.tastes[sessions.user_rows[session_rows]]
    item_rows = np.empty(len(session_rows), np.int32)
    order = np.argsort(kinds, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1):
        if len(mine):
            shelf = shelves.of_kind(int(kinds[mine[0]]))
            drawn = draw_by_taste(rng, tastes[mine], world.catalogue.appeal[shelf], conditions.quality[shelf])
            item_rows[mine] = shelf[drawn]
    seconds = sessions.started[session_rows] + rng.random(len(session_rows)) * 1_200
    return Looks(
        session_rows=session_rows,
        item_rows=item_rows,
        request_rows=np.full(len(session_rows), -1, np.int32),
        utility=utility_of(world, sessions.user_rows[session_rows], item_rows),
        seconds=seconds,
    )


def shown_lists(
    rng: np.random.Generator, world: World, conditions: Conditions, sessions: Sessions
) -> tuple[Rows, ShownLists]:
    """Lists of items in stock shown in half of the sessions: session of each request `[num_requests]`, and the places."""
    asking = np.flatnonzero(happens(rng, LIST_SHARE, len(sessions))).astype(np.int32)
    shelves = Shelves.of(world.catalogue.kinds, conditions.in_stock, num_kinds=world.num_kinds)
    return asking, LoggingPolicy.of(shelves, conditions.quality).show(rng, sessions.kinds[asking])


def clicked(rng: np.random.Generator, world: World, sessions: Sessions, asking: Rows, shown: ShownLists) -> Looks:
    """The shown places that were looked at and liked."""
    session_rows = asking[shown.request_rows]
    utility = utility_of(world, sessions.user_rows[session_rows], shown.item_rows)
    chances = shown.positions.astype(np.float32) ** -EXAMINED_FALL * sigmoid(utility + CLICK_SHIFT)
    chosen = np.flatnonzero(happens(rng, chances, len(utility)))
    return Looks(
        session_rows=session_rows[chosen],
        item_rows=shown.item_rows[chosen],
        request_rows=shown.request_rows[chosen],
        utility=utility[chosen],
        seconds=sessions.started[session_rows[chosen]] + 5 + rng.random(len(chosen)) * 1_200,
    )


def utility_of(world: World, user_rows: Rows, item_rows: Rows) -> Floats:
    """How much each user likes each item, taste only `[n], [n] -> [n]`."""
    vectors = world.catalogue.appeal[item_rows] + world.kind_centres[world.catalogue.kinds[item_rows]]
    liked: Floats = np.einsum("nk,nk->n", world.people.tastes[user_rows], vectors)
    return liked


def _strayed(rng: np.random.Generator, kinds: Rows, kinds_per_category: int) -> Rows:
    siblings = kinds - kinds % kinds_per_category + rng.integers(0, kinds_per_category, len(kinds))
    return np.where(happens(rng, SIBLING_SHARE, len(kinds)), siblings, kinds).astype(np.int32)
