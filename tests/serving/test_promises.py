"""What every list promises, over HTTP, on every endpoint, while people act, releases replace each other, time is short and the memory is away."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ml.bundle.repack import TABLES
from ml.bundle.write import write_bundle
from ml.contract.errors import OnlineStoreError
from ml.contract.events import EventType
from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.release.publish import publish
from ml.runtime.bundle import open_bundle
from ml.runtime.diversity import DiversitySettings
from ml.runtime.exploration import ExplorationSettings
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, RankRequest, Request
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event
from serving.app import create_app
from serving.deadline import deadline
from serving.settings import ServiceSettings
from tests import world
from tests.ml.runtime.hurry import hurried
from tests.ml.runtime.shops import EFFORT, FEW, REGIONS, RULES, THOROUGH, Shop, allowed, catalogue, facts_of
from tests.serving.conftest import TestClient, wait_until
from tests.serving.test_lists import CART, EVENTS, HOMEPAGE, PRODUCT, RANK, TOGETHER

KNOWN = st.integers(0, world.NUM_ITEMS - 1).map(world.item_id)
ITEMS = KNOWN | st.just("never heard of")
FEW_ITEMS = st.lists(ITEMS, max_size=5, unique=True)
VISITORS = ("stranger", "session", "user", "u001")
WISHES = st.fixed_dictionaries(
    {"limit": st.integers(1, 9) | st.integers(1, 45)},
    optional={
        "region": st.sampled_from(REGIONS),
        "exclude": FEW_ITEMS,
        "include": FEW_ITEMS,
        "recent_items": FEW_ITEMS,
    },
)


@dataclass
class Memory:
    """What the machine knows of one visitor."""

    events: list[Event]
    shown: dict[str, datetime]


@dataclass
class Shopfront:
    """One running service, two releases with rules, and all that was done there."""

    client: TestClient
    releases: Path
    shops: dict[str, Shop]
    memories: dict[str, Memory]
    numbers: Iterator[int]
    spent: float = 0.0
    """Share of its deadline that every list has spent."""

    def publish(self, version: str) -> None:
        publish(self.releases.parent / "made" / version, releases=self.releases, now=datetime.now(UTC))


@pytest.fixture(scope="module")
def shopfront(bundles, tmp_path_factory) -> Iterator[Shopfront]:
    home = tmp_path_factory.mktemp("shopfront")
    shops = dict(_ruled(folder, home / "made", number) for number, folder in enumerate(bundles))
    fast = ServiceSettings(home=home, poll_seconds=0.005, rate_per_second=1e6, rate_burst=1_000_000)
    for version in shops:
        publish(home / "made" / version, releases=home / "releases", now=datetime.now(UTC))
    with TestClient(create_app(fast)) as client:
        front = Shopfront(client, home / "releases", shops, {}, count())
        client.app.dependency_overrides[deadline] = lambda: hurried(front.spent)
        yield front


def _ruled(folder: Path, made: Path, number: int) -> tuple[str, Shop]:
    """A release of a spoiled catalogue under strict rules; the second one explores."""
    opened = open_bundle(folder)
    assert opened.manifest is not None
    changed = replace(
        opened,
        items=catalogue(opened.items, shift=number),
        settings=RequestSettings(
            candidates=FEW,
            rules=RULES[number + 1],
            diversity=DiversitySettings(relevance=0.5, pool=6),
            exploration=ExplorationSettings(share=0.5 * number, pool=5),
        ),
    )
    with tempfile.TemporaryDirectory() as models:
        kept = Path(shutil.copytree(folder, Path(models, "models"), ignore=shutil.ignore_patterns(*TABLES)))
        written = write_bundle(changed, [kept], made, facts=opened.manifest.facts)
    return written.version, Shop(open_bundle(written.path), facts_of(changed.items))


class Visits(RuleBasedStateMachine):
    """Every list keeps its promises by what the service was told; the release that answered says which rules that means."""

    def __init__(self, shopfront: Shopfront) -> None:
        super().__init__()
        self.front = shopfront
        self.store = shopfront.client.app.state.visits._store
        self.is_away = False
        self.run = next(shopfront.numbers)

    @initialize(first=st.booleans())
    def open(self, first: bool) -> None:
        self.swap(first)

    def teardown(self) -> None:
        self.memory_is(back=True)
        self.front.spent = 0.0

    @rule(first=st.booleans())
    def swap(self, first: bool) -> None:
        self.front.publish(sorted(self.front.shops)[first])

    @rule(spent=st.sampled_from([0.0, 0.85, 0.95, 1.5]))
    def time_is_short(self, spent: float) -> None:
        self.front.spent = spent

    @rule(back=st.booleans())
    def memory_is(self, back: bool) -> None:
        visits = self.front.client.app.state.visits
        visits._store = self.store if back else _Away()
        self.is_away = not back

    @rule(
        visitor=st.sampled_from(VISITORS[1:3]),
        item=st.integers(0, 5).map(world.item_id),
        kind=st.sampled_from(list(EventType)),
    )
    def something_is_done(self, visitor: str, item: str, kind: EventType) -> None:
        if (
            self.is_away
        ):  # what comes now reaches the store only when it is filled again, at an instant the machine cannot know
            return
        at = datetime.now(UTC)
        event = {"item_id": item, "event_type": kind, "occurred_at": at.isoformat(), **self._who(visitor)}
        assert self.front.client.post(EVENTS, json=event).json()["results"][0]["status"] == "accepted"
        self._memory(visitor).events.append(Event(item, kind, at))

    @rule(
        visitor=st.sampled_from(VISITORS),
        wishes=WISHES,
        item=KNOWN,
        page=st.sampled_from([HOMEPAGE, PRODUCT, TOGETHER]),
    )
    def a_page_is_opened(self, visitor: str, wishes: dict, item: str, page: str) -> None:
        url = page if page == HOMEPAGE else f"{page}/{item}"
        answer = self.front.client.get(url, params={**wishes, **self._who(visitor)})
        kind = {HOMEPAGE: HomeRequest, PRODUCT: ProductRequest, TOGETHER: BoughtTogetherRequest}[page]
        self._keeps_its_promises(answer, visitor, kind, wishes, {} if page == HOMEPAGE else {"item_id": item})

    @rule(
        visitor=st.sampled_from(VISITORS),
        wishes=WISHES,
        items=st.lists(ITEMS, min_size=1, max_size=40),
        is_cart=st.booleans(),
    )
    def a_list_is_posted(self, visitor: str, wishes: dict, items: list[str], is_cart: bool) -> None:
        answer = self.front.client.post(
            CART if is_cart else RANK, json={**wishes, **self._who(visitor), "item_ids": items}
        )
        kind = CartRequest if is_cart else RankRequest
        self._keeps_its_promises(answer, visitor, kind, wishes, {"item_ids": tuple(items)})

    def _keeps_its_promises(self, answer, visitor: str, kind: type[Request], wishes: dict, about: dict) -> None:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        shop, memory = self.front.shops[body["bundle_version"]], self._memory(visitor)
        request = kind(
            user_id=pseudonym("u001", DEVELOPMENT_KEY) if visitor == "u001" else None,
            limit=wishes["limit"],
            region=wishes.get("region"),
            exclude=frozenset(wishes.get("exclude", ())),
            include=frozenset(wishes.get("include", ())),
            **about,
        )
        found = [item["product_id"] for item in body["recommendations"]]
        assert not self.is_away or "online_state" in body["degraded"]
        knows = Memory([], {}) if self.is_away else memory
        may = allowed(shop, request, knows.events, knows.shown, datetime.fromisoformat(body["generated_at"]))
        assert set(found) <= may
        assert len(found) == len(set(found)) == min(request.limit, len(may))
        assert [item["position"] for item in body["recommendations"]] == list(range(1, len(found) + 1))
        assert all(0 < item["propensity"] <= 1 for item in body["recommendations"])
        if kind is RankRequest:
            assert {item["product_id"] for item in body["removed"]} == set(request.item_ids) - may
        if not self.is_away and visitor != "stranger":
            memory.shown |= dict.fromkeys(found, datetime.fromisoformat(body["generated_at"]))

    def _who(self, visitor: str) -> dict[str, str]:
        names = {
            "session": {"session_id": f"s{self.run}"},
            "user": {"user_id": f"new{self.run}"},
            "u001": {"user_id": "u001"},
        }
        return names.get(visitor, {})

    def _memory(self, visitor: str) -> Memory:
        """`u001` is the same person in every run, the others are new."""
        name = visitor if visitor in ("u001", "stranger") else f"{visitor}{self.run}"
        return self.front.memories.setdefault(name, Memory([], {}))


class _Away:
    """A store that does not answer."""

    is_local = True

    def _refuse(self, *_args: object, **_more: object) -> None:
        raise OnlineStoreError("The store must answer. Received: nothing. Start it.")

    append = remember_shown = read = filled_since = mark_filled = _refuse

    def close(self) -> None:
        """Nothing is open."""


def test_every_endpoint_keeps_its_promises_whatever_happens(shopfront):
    run_state_machine_as_test(lambda: Visits(shopfront), settings=settings(EFFORT, max_examples=20 * THOROUGH))


def test_both_releases_answered(shopfront):
    """The machine above swaps them; here each is seen to arrive, or nothing would have been shown of swaps."""
    for version in shopfront.shops:
        shopfront.publish(version)
        wait_until(lambda version=version: shopfront.client.get("/readyz").json()["bundle_version"] == version)
