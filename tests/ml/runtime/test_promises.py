"""What every list promises, on every path and in every state: nothing forbidden, nothing twice, as long as can be, the same again."""

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ml.contract.events import EventType
from ml.runtime.deadline import CANDIDATES
from ml.runtime.recommend import recommend
from ml.runtime.requests import (
    BoughtTogetherRequest,
    CartRequest,
    HomeRequest,
    ProductRequest,
    RankRequest,
    Request,
)
from ml.runtime.state import Event, OnlineState, state_of
from ml.runtime.trace import RequestTrace, replayed
from tests import world
from tests.ml.runtime.hurry import hurried
from tests.ml.runtime.shops import EFFORT, REGIONS, Shop, allowed, shops

KNOWN = st.integers(0, world.NUM_ITEMS - 1).map(world.item_id)
ITEMS = KNOWN | st.sampled_from(["never heard of", ""])
SETS = st.frozensets(ITEMS, max_size=12)
COMMON = {
    "user_id": st.none() | st.just("a stranger") | st.integers(0, 9).map(world.user_id),
    "session_items": st.lists(ITEMS, max_size=4).map(tuple),
    "region": st.none() | st.sampled_from([*REGIONS, "FR"]),
    "exclude": SETS,
    "include": SETS,
    "limit": st.integers(1, 9) | st.integers(1, 45),
}
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(HomeRequest, **COMMON),
    st.builds(ProductRequest, item_id=KNOWN, **COMMON),
    st.builds(CartRequest, item_ids=st.lists(ITEMS, min_size=1, max_size=6).map(tuple), **COMMON),
    st.builds(BoughtTogetherRequest, item_id=KNOWN, **COMMON),
    st.builds(RankRequest, item_ids=st.lists(ITEMS, min_size=1, max_size=40).map(tuple), **COMMON),
)
SPENT = st.lists(st.sampled_from([0.0, 0.5, 0.8, 0.85, 0.9, 1.0, 3.0]), min_size=2, max_size=2).map(sorted)
"""Shares of the deadline before the candidates and before the ranker."""


class Visit(RuleBasedStateMachine):
    """Someone does things, time passes or runs short, releases replace each other, the cache forgets; whoever asks gets a list that keeps its promises."""

    def __init__(self, every_shop: list[Shop]) -> None:
        super().__init__()
        self.shops = every_shop
        self.now = world.CUT + timedelta(hours=9)
        self.events: list[Event] = []
        self.forgotten = 0
        self.shown = {}

    @initialize(number=st.integers(0, 5))
    def open(self, number: int) -> None:
        self.shop = self.shops[number]

    @rule(number=st.integers(0, 5))
    def another_release_takes_over(self, number: int) -> None:
        self.shop = self.shops[number]

    @rule(item=st.integers(0, 5).map(world.item_id) | ITEMS, kind=st.sampled_from(list(EventType)))
    def something_is_done(self, item: str, kind: EventType) -> None:
        self.now += timedelta(seconds=7)
        self.events.append(Event(item, kind, self.now))

    @rule(hours=st.sampled_from([1, 12, 30, 21 * 24]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(newest=st.integers(0, 3))
    def the_cache_lags_behind(self, newest: int) -> None:
        self.forgotten = newest

    @rule(asked=REQUESTS, seed=st.none() | st.integers(0, 2**32), remembers=st.booleans(), spent=SPENT)
    def a_list_is_asked_for(self, asked: Request, seed: int | None, remembers: bool, spent: list[float]) -> None:
        bundle = self.shop.bundle
        events = self.events[: len(self.events) - self.forgotten] if remembers else []
        shown = self.shown if remembers else {}
        state = (
            state_of(bundle, bundle.users.of(asked.user_id), events, self.now, recently_shown=shown)
            if remembers
            else None
        )
        answer = recommend(bundle, asked, state=state, now=self.now, seed=seed, shedding=hurried(*spent))
        found = [item.item_id for item in answer.items]
        may = allowed(self.shop, asked, events, shown, self.now)
        assert set(found) <= may
        assert len(found) == len(set(found)) == min(asked.limit, len(may))
        assert [item.position for item in answer.items] == list(range(1, len(found) + 1))
        assert all(0 < item.propensity <= 1 for item in answer.items)
        assert answer == recommend(bundle, asked, state=state, now=self.now, seed=seed, shedding=hurried(*spent))
        assert CANDIDATES not in answer.degraded or {item.source for item in answer.items} <= {"popular"}
        assert answer == replayed(bundle, RequestTrace.from_json(RequestTrace.of(answer, bundle).to_json()))
        if isinstance(asked, RankRequest):
            assert set(answer.removed) == set(asked.item_ids) - may
            assert all(answer.removed.values())
        if seed is None or not bundle.settings.exploration.share:
            assert {item.propensity for item in answer.items} <= {1.0}
            self._top_ten_is_as_mixed_as_can_be(found, may)
        self.shown = {**self.shown, **dict.fromkeys(found[:3], self.now)}

    def _top_ten_is_as_mixed_as_can_be(self, found: list[str], may: set[str]) -> None:
        """A group goes over its limit only when every item that could have come instead is of a full group too."""
        facts, rules = self.shop.facts, self.shop.rules
        top = found[:10]
        limits = [
            (Counter(facts[item].category for item in top), lambda item: facts[item].category, rules.max_per_category_in_top_10),
            (Counter(facts[item].seller for item in top), lambda item: facts[item].seller, rules.max_per_seller_in_top_10),
        ]  # fmt: skip
        limits = [limit for limit in limits if limit[2] is not None]
        over = any(n > most for counts, _, most in limits for group, n in counts.items() if group is not None)
        if over:
            fitting = [
                item
                for item in may - set(top)
                if all(of(item) is None or counts[of(item)] < most for counts, of, most in limits)
            ]
            assert fitting == []


@pytest.fixture(scope="module")
def every_shop(bundle) -> list[Shop]:
    return shops(bundle)


def test_every_list_keeps_its_promises_whatever_happened_before(every_shop):
    run_state_machine_as_test(lambda: Visit(every_shop), settings=EFFORT)


def test_a_state_of_another_release_is_refused_not_misread(every_shop):
    old, new = every_shop[0].bundle, every_shop[2].bundle
    state = OnlineState.of_record(old, old.users.of(world.user_id(1)))
    with pytest.raises(ValueError, match=r"must be of bundle 1-False\. Received: one of 0-False"):
        recommend(new, HomeRequest(user_id=world.user_id(1)), state=state, now=world.CUT)
