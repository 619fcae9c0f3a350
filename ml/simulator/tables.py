"""The shop's arrays as the tables of the contract."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.contract.columns import INSTANT, RAW_IMPRESSIONS, RAW_INTERACTIONS, RAW_ITEMS, RAW_USERS
from ml.contract.types import Rows
from ml.features.history import SECONDS_PER_DAY
from ml.simulator.conditions import Conditions, day_of, stock_levels
from ml.simulator.days import Happened
from ml.simulator.dirt import EVENT_NAMES, NUM_BOTS
from ml.simulator.events import Events
from ml.simulator.names import CATEGORIES, COUNTRIES, KINDS, QUALITIES, SEGMENTS, brand_names
from ml.simulator.world import World

LOGGING_POLICY = "demo-popular"
"""`bundle_version` of the demo's own lists: no bundle of ours showed them."""
SURFACES = ("home", "category")
NUM_SELLERS = 25


@dataclass(frozen=True)
class DayOfEvents:
    """Rows that arrived on one day, with the columns of `RAW_INTERACTIONS` and `RAW_IMPRESSIONS`."""

    interactions: pa.Table
    impressions: pa.Table


def user_names(world: World) -> pa.StringArray:
    """Ids of all users ever, then of the bots."""
    bots = [f"bot-{n + 1}" for n in range(NUM_BOTS)]
    return pa.concat_arrays([_numbered("u", np.arange(len(world.people.segments)) + 100_000), pa.array(bots)])


def item_names(world: World) -> pa.StringArray:
    return _numbered("i", np.arange(len(world.catalogue.kinds)) + 100_000)


def interactions_table(
    world: World, arrived: Iterable[tuple[int, Events]], *, landed: int, users: pa.Array, items: pa.Array
) -> pa.Table:
    """Rows of (day they began, events) pairs, all of which arrived on the day `landed`."""
    tables = [_events_table(world, day, events, users=users, items=items) for day, events in arrived]
    table = pa.concat_tables([*tables, RAW_INTERACTIONS.empty_table().drop_columns("landed_on")])
    return table.append_column("landed_on", _constant(day_of(world, landed), len(table), pa.date32())).cast(
        RAW_INTERACTIONS
    )


def impressions_table(world: World, happened: Happened, *, users: pa.Array, items: pa.Array) -> pa.Table:
    shown, day = happened.shown, day_of(world, happened.day)
    count = len(shown.item_rows)
    columns = {
        "request_id": _of_day("r", day, shown.request_rows),
        "user_id": _taken(users, happened.shown_to),
        "item_id": _taken(items, shown.item_rows),
        "position": pa.array(shown.positions),
        "shown_at": _instants(day, np.floor(happened.shown_at)),
        "surface": _taken(pa.array(SURFACES), shown.request_rows % 2),
        "bundle_version": _constant(LOGGING_POLICY, count, pa.string()),
        "propensity": pa.array(shown.propensities),
        "source": _constant("popular", count, pa.string()),
        "landed_on": _constant(day, count, pa.date32()),
    }
    return pa.table(columns).cast(RAW_IMPRESSIONS)


def items_table(world: World, day: int) -> pa.Table:
    """The catalogue as it stands on a day: launched so far, in the order of launch."""
    catalogue, conditions = world.catalogue, Conditions.of(world, day)
    rows = np.flatnonzero(catalogue.launched <= day)
    kinds, brands = catalogue.kinds[rows], catalogue.brands[rows]
    categories = [CATEGORIES[n] for n in world.categories_of_kinds[kinds]]
    names = [KINDS[n % world.plan.kinds_per_category] for n in kinds]
    brand_ids = brand_names(world.plan.num_brands)
    columns = {
        "item_id": item_names(world).take(pa.array(rows)),
        "title": [
            f"{brand_ids[b]} {QUALITIES[r % len(QUALITIES)]} {c}, {k} no. {r + 1}"
            for b, r, c, k in zip(brands, rows, categories, names, strict=True)
        ],
        "category": categories,
        "sub_category": [f"{category} {name}" for category, name in zip(categories, names, strict=True)],
        "brand": [brand_ids[n] for n in brands],
        "seller_id": [f"s{n % NUM_SELLERS + 1:02}" for n in brands],
        "description": [
            f"{k.capitalize()} {c} by {brand_ids[b]}." for b, c, k in zip(brands, categories, names, strict=True)
        ],
        "image_url": pa.nulls(len(rows), pa.string()),
        "image_path": pa.nulls(len(rows), pa.string()),
        "price": conditions.prices[rows].astype(np.float64).round(2),
        "created_at": _instants(world.settings.opened_on, catalogue.launched[rows] * float(SECONDS_PER_DAY)),
        "is_active": conditions.live_items[rows],
        "stock": stock_levels(world, day)[rows],
        "region": pa.nulls(len(rows), pa.string()),
    }
    return pa.table(columns, schema=RAW_ITEMS)


def users_table(world: World, day: int) -> pa.Table:
    """Users who signed up until a day, in that order."""
    people = world.people
    rows = np.flatnonzero(people.signed_up <= day)
    columns = {
        "user_id": user_names(world).take(pa.array(rows)),
        "country": _taken(pa.array(COUNTRIES), people.countries[rows]),
        "segment": _taken(pa.array(SEGMENTS), people.segments[rows]),
        "signed_up_at": _instants(world.settings.opened_on, people.signed_up[rows] * float(SECONDS_PER_DAY)),
    }
    return pa.table(columns, schema=RAW_USERS)


def _events_table(world: World, began: int, events: Events, *, users: pa.Array, items: pa.Array) -> pa.Table:
    day, count = day_of(world, began), len(events)
    columns = {
        "user_id": _taken(users, events.user_rows),
        "item_id": _taken(items, events.item_rows),
        "event_type": _taken(pa.array(EVENT_NAMES), events.event_codes),
        "occurred_at": _instants(day, events.seconds),
        "event_id": _of_day("e", day, events.numbers),
        "quantity": pa.array(events.quantity.astype(np.float64), from_pandas=True),
        "price": pa.array(events.prices.astype(np.float64).round(2), from_pandas=True),
        "order_id": _of_day("o", day, events.order_rows),
        "session_id": _of_day("s", day, events.session_rows),
        "request_id": _of_day("r", day, events.request_rows),
        "received_at": _instants(day, events.received),
        "excluded_because": pa.nulls(count, pa.string()),
        "source_row": pa.nulls(count, pa.int64()),
    }
    return pa.table(columns)


def _taken(names: pa.Array, rows: NDArray[np.integer]) -> pa.Array:
    """The names of rows, null for -1."""
    return names.take(pa.array(rows, mask=rows < 0))


def _numbered(prefix: str, numbers: NDArray[np.integer]) -> pa.Array:
    texts = pc.cast(pa.array(numbers, mask=numbers < 0), pa.string())
    return pc.binary_join_element_wise(prefix, texts, "")


def _of_day(prefix: str, day: date, rows: Rows) -> pa.Array:
    """Ids that say the day they are of and a number on it, null for -1."""
    return _numbered(f"{prefix}{day:%Y%m%d}-", rows)


def _instants(day: date, seconds: NDArray[np.floating]) -> pa.Array:
    """Seconds since midnight of a day as instants, NaN as null."""
    start = int((datetime(day.year, day.month, day.day) - datetime(1970, 1, 1)) / timedelta(microseconds=1))
    unknown = np.isnan(seconds)
    micros = np.where(unknown, 0, seconds).astype(np.int64) * 1_000_000 + start
    return pa.array(micros, mask=unknown).cast(INSTANT)


def _constant(value: str | date, count: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)
