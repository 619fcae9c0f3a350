"""Shops where much is forbidden, and an independent reading of what: plain Python over plain facts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pyarrow as pa
from hypothesis import HealthCheck, settings

from ml.contract.events import EVENT_TYPES, EventType
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import SOURCES, CandidateSettings
from ml.runtime.diversity import DiversitySettings
from ml.runtime.exploration import ExplorationSettings
from ml.runtime.items import ItemTable
from ml.runtime.requests import RankRequest, Request
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event
from tests import world

REGIONS = ("AT", "DE")
THOROUGH = int(os.environ.get("AISLE_TEST_EFFORT", "1"))
EFFORT = settings(
    max_examples=40 * THOROUGH,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""A few seconds a test; `AISLE_TEST_EFFORT=20` looks twenty times as long."""

FEW = CandidateSettings(
    **dict.fromkeys(SOURCES, 1) | {"two_tower": 3, "ease": 2, "item_knn": 2, "bought_together": 2, "repurchase": 2},
)
"""So few proposals that most of a list must come from elsewhere."""


@dataclass(frozen=True)
class Facts:
    """Of one item, as its shop says."""

    is_sold: bool
    region: str | None
    category: str
    seller: str | None


@dataclass(frozen=True)
class Shop:
    """A bundle with rules, and what the oracle needs to know of it."""

    bundle: Bundle
    facts: Mapping[str, Facts]

    @property
    def rules(self) -> Rules:
        return self.bundle.settings.rules


RULES = (
    Rules(),
    Rules(
        max_per_category_in_top_10=3,
        max_per_seller_in_top_10=2,
        exclude_purchased=True,
        repeatable=("c1",),
        repurchase_after_days=20,
        recently_shown_hours=1,
        freshness_boost=0.1,
        new_seller_boost=0.2,
        exposure_boost=0.5,
        seller_exposure_boost=0.5,
    ),
    Rules(max_per_category_in_top_10=1, exclude_purchased=True, recently_shown_hours=48, exclude_in_cart=False),
)


def shops(bundle: Bundle) -> list[Shop]:
    """The same models under every set of rules, with and without likeness, a ranker and chance, over catalogues that differ in what is sold."""
    found = []
    for number, rules in enumerate(RULES):
        for spoiled in (False, True):
            request = RequestSettings(
                candidates=FEW if number else CandidateSettings(),
                rules=rules,
                diversity=DiversitySettings(relevance=(1.0, 0.5, 0.1)[number], pool=(50, 4, 50)[number]),
                exploration=ExplorationSettings(share=0.5 if spoiled else 0, pool=5),
            )
            items = catalogue(bundle.items, shift=number + 3 * spoiled)
            changed = replace(
                bundle,
                version=f"{number}-{spoiled}",
                items=items,
                settings=request,
                ranker=None if spoiled else bundle.ranker,
            )
            found.append(Shop(changed, facts_of(items)))
    return found


def catalogue(items: ItemTable, *, shift: int) -> ItemTable:
    """The world's items; one in five is not sold, one in four only in one region, some are new, sellers hold a few items each."""
    numbers = [int(item_id[1:]) + shift for item_id in items.table["item_id"].to_pylist()]
    opened = world.CUT.replace(tzinfo=None)
    return with_columns(
        items,
        stock=[0 if n % 10 == 0 else None if n % 3 == 0 else 4 for n in numbers],
        is_active=[n % 10 != 5 for n in numbers],
        region=[REGIONS[n % 2] if n % 4 == 0 else None for n in numbers],
        seller_id=[f"s{n % 7}" if n % 7 else None for n in numbers],
        created_at=[opened - timedelta(days=n % 50) if n % 2 else None for n in numbers],
    )


def with_columns(items: ItemTable, **columns: Sequence[object]) -> ItemTable:
    table = items.table
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values, type=table.schema.field(name).type))
    return ItemTable(table.combine_chunks())


def facts_of(items: ItemTable) -> dict[str, Facts]:
    return {
        row["item_id"]: Facts(
            is_sold=row["is_active"] is not False and (row["stock"] is None or row["stock"] > 0),
            region=row["region"],
            category=row["category"],
            seller=row["seller_id"],
        )
        for row in items.table.select(["item_id", "is_active", "stock", "region", "category", "seller_id"]).to_pylist()
    }


def allowed(
    shop: Shop, request: Request, events: Sequence[Event], shown: Mapping[str, datetime], now: datetime
) -> set[str]:
    """What a list for the request may hold."""
    rules = shop.rules
    did = [*record_of(shop.bundle, request.user_id), *(event for event in events if event.occurred_at <= now)]
    did.sort(key=lambda event: event.occurred_at)
    personal = set()
    if rules.exclude_purchased:
        days = rules.repurchase_after_days
        personal |= {
            event.item_id
            for event in did
            if event.event_type is EventType.PURCHASE
            and (days is None or now - event.occurred_at <= timedelta(days=days))
            and event.item_id in shop.facts
            and shop.facts[event.item_id].category not in rules.repeatable
        }
    if rules.exclude_in_cart:
        cart: set[str] = set()
        for event in did:
            if now - event.occurred_at > timedelta(days=rules.cart_days):
                continue
            if event.event_type is EventType.CART_ADD:
                cart.add(event.item_id)
            elif event.event_type in (EventType.CART_REMOVE, EventType.PURCHASE):
                cart.discard(event.item_id)
        personal |= cart
    if rules.recently_shown_hours is not None:
        window = timedelta(hours=rules.recently_shown_hours)
        personal |= {item for item, at in shown.items() if now - at <= window}
    sold = {
        item
        for item, facts in shop.facts.items()
        if facts.is_sold and (request.region is None or facts.region in (None, request.region))
    }
    found = sold - set(request.about) - request.exclude - (personal - request.include)
    return found & set(request.item_ids) if isinstance(request, RankRequest) else found


def record_of(bundle: Bundle, user_id: str | None) -> list[Event]:
    history = bundle.users.of(user_id).history
    return [
        Event(bundle.items.vocabulary.id(row), EVENT_TYPES[code], datetime.fromtimestamp(at, world.CUT.tzinfo))
        for row, code, at in zip(
            history.item_rows.tolist(), history.event_codes.tolist(), history.occurred_at.tolist(), strict=True
        )
    ]
