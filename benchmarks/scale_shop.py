"""A shop of any size as files: plausible enough for every station to have its real work, made at a million events in seconds.

The simulator plants tastes whose truth is known, and its cost grows with users times kinds of items. This one plants only what costs
depend on: how often items are met (a long tail with a few best sellers), how many events a user has, how their items hang
together, and that staples are bought again. Every day has a seed of its own; memory does not grow with the shop.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.contract.columns import INSTANT, RAW_INTERACTIONS, RAW_ITEM_EMBEDDINGS, RAW_ITEMS, RAW_USERS

OPENED_ON = date(2026, 1, 1)
DAYS = 120
EVENTS_PER_USER = 50
ITEMS_PER_KIND, KINDS_PER_CATEGORY, FAVOURITES, STAPLES = 200, 10, 3, 2
SHARES = {"view": 1.0, "cart_add": 0.15, "purchase": 0.08, "wishlist_add": 0.03, "return": 0.002}
"""Of each look, the share that leads to an event of a type."""
STAPLE_SHARE = 0.02
"""Of the looks, as many staples are bought besides."""
DAY_US = 86_400_000_000

Draws = NDArray[np.int64]


@dataclass(frozen=True)
class ScaleShop:
    """About `num_interactions` events of `num_items` items in `DAYS` days; users so that each has `EVENTS_PER_USER`."""

    num_interactions: int
    num_items: int
    seed: int = 7

    @property
    def num_users(self) -> int:
        return max(self.num_interactions // EVENTS_PER_USER, 1)

    @property
    def num_kinds(self) -> int:
        return max(self.num_items // ITEMS_PER_KIND, 2 * KINDS_PER_CATEGORY)

    def write(self, folder: Path) -> Path:
        """Three Parquet files and the mapping that reads them; returns the mapping."""
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.items(), folder / "items.parquet")
        pq.write_table(self.users(), folder / "users.parquet")
        schema = pa.schema([RAW_INTERACTIONS.field(name) for name in _COLUMNS])
        with pq.ParquetWriter(folder / "interactions.parquet", schema) as file:
            for day in range(DAYS):
                file.write_table(self._day(day).cast(schema))
        mapping = folder / "mapping.yaml"
        mapping.write_text(json.dumps(_mapping()))  # JSON is YAML
        return mapping

    @cached_property
    def world(self) -> "World":
        return World.of(self)

    def _day(self, day: int) -> pa.Table:
        """Events of one day, by time."""
        rng, world = np.random.default_rng((self.seed, day)), self.world
        looks = round(self.num_interactions / DAYS / (sum(SHARES.values()) + STAPLE_SHARE))
        users = np.searchsorted(world.activity, rng.random(looks)).astype(np.int64)
        items = world.looked_at(rng, users)
        # What a user does on one day is one session, an hour long.
        started = (users * 7919 + day * 104_729) % 82_000 * 1_000_000
        at = started + (rng.random(looks) * 3600e6).astype(np.int64)
        parts = [
            _Part(name, users[led], items[led], at[led] + delay * 30_000_000)
            for delay, (name, share) in enumerate(SHARES.items())
            for led in [rng.random(looks) < share]
        ]
        buyers = np.searchsorted(world.activity, rng.random(round(looks * STAPLE_SHARE))).astype(np.int64)
        bought = world.staples[buyers, rng.integers(0, STAPLES, len(buyers))]
        parts.append(_Part("purchase", buyers, bought, (buyers * 7919 + day * 104_729) % 82_000 * 1_000_000))
        return self._table(rng, parts, day)

    def _table(self, rng: np.random.Generator, parts: list["_Part"], day: int) -> pa.Table:
        kinds = np.concatenate([np.full(len(part.users), number, np.int8) for number, part in enumerate(parts)])
        users = np.concatenate([part.users for part in parts])
        items = np.concatenate([part.items for part in parts])
        at = np.concatenate([part.at for part in parts]) + ((OPENED_ON - date(1970, 1, 1)).days + day) * DAY_US
        order = np.argsort(at, kind="stable")
        kinds, users, items, at = kinds[order], users[order], items[order], at[order]
        names = pa.array([part.name for part in parts])
        sessions = pa.array([f"{day}-{user}" for user in users.tolist()])
        ordered = np.isin(kinds, [number for number, part in enumerate(parts) if part.name in ("purchase", "return")])
        columns = {
            "user_id": self.world.user_ids.take(pa.array(users)),
            "item_id": self.world.item_ids.take(pa.array(items)),
            "event_type": names.take(pa.array(kinds)),
            "occurred_at": pa.array(at).cast(INSTANT),
            "event_id": pa.array([f"{day}-{number}" for number in range(len(at))]),
            "quantity": pa.array(rng.geometric(0.8, len(at)).astype(np.float64), mask=~ordered),
            "price": pa.array(self.world.prices[items]),
            "order_id": pa.compute.if_else(pa.array(ordered), sessions, None),
            "session_id": sessions,
            "received_at": pa.array(at + rng.integers(1, 20, len(at)) * 1_000_000).cast(INSTANT),
        }
        return pa.table({name: columns[name] for name in _COLUMNS})

    def items(self) -> pa.Table:
        world, count = self.world, self.num_items
        kinds = pa.array([f"kind {kind}" for kind in range(self.num_kinds)])
        categories = pa.array([f"category {kind // KINDS_PER_CATEGORY}" for kind in range(self.num_kinds)])
        columns = {
            "item_id": world.item_ids,
            "title": pa.array([f"Article {row}" for row in range(count)]),
            "category": categories.take(pa.array(world.kinds)),
            "sub_category": kinds.take(pa.array(world.kinds)),
            "brand": pa.array([f"brand {row % 997}" for row in range(count)]),
            "price": pa.array(world.prices),
            "created_at": pa.repeat(OPENED_ON - timedelta(days=1), count).cast(INSTANT),
            "is_active": pa.repeat(True, count),
        }
        return pa.table({name: columns.get(name, pa.nulls(count)) for name in RAW_ITEMS.names}).cast(RAW_ITEMS)

    def item_embeddings(self) -> pa.Table:
        return RAW_ITEM_EMBEDDINGS.empty_table()

    def users(self) -> pa.Table:
        rows = np.arange(self.num_users)
        columns = {
            "user_id": self.world.user_ids,
            "country": pa.array(["DE", "FR", "GB", "US"]).take(pa.array(rows % 4)),
            "segment": pa.array(["new", "loyal", "bulk"]).take(pa.array(rows % 3)),
            "signed_up_at": pa.repeat(OPENED_ON - timedelta(days=1), len(rows)).cast(INSTANT),
        }
        return pa.table({name: columns[name] for name in RAW_USERS.names}).cast(RAW_USERS)


@dataclass(frozen=True)
class _Part:
    """Events of one type on one day; `at` in microseconds after midnight."""

    name: str
    users: Draws
    items: Draws
    at: Draws


@dataclass(frozen=True)
class World:
    """What is fixed before the first day."""

    kinds: Draws
    """Of each item; item `i` is the `i // num_kinds`-th of kind `i % num_kinds`, the best seller first."""
    prices: NDArray[np.float64]
    activity: NDArray[np.float64]
    """Cumulative share of the looks over users."""
    favourites: Draws
    """`[num_users, FAVOURITES]` kinds."""
    staples: Draws
    """`[num_users, STAPLES]` items."""
    item_ids: pa.Array
    user_ids: pa.Array
    num_kinds: int

    @classmethod
    def of(cls, shop: ScaleShop) -> "World":
        rng = np.random.default_rng((shop.seed, DAYS))
        kinds = np.arange(shop.num_items) % shop.num_kinds
        activity = np.cumsum(rng.gamma(1.5, size=shop.num_users))
        favourites = (shop.num_kinds * rng.random((shop.num_users, FAVOURITES)) ** 1.5).astype(np.int64)
        staples = _in_kind(rng, favourites[:, :STAPLES], shop.num_items, shop.num_kinds)
        return cls(
            kinds=kinds,
            prices=np.round(np.exp(rng.normal(2.6, 0.7, shop.num_items)), 2),
            activity=activity / activity[-1],
            favourites=favourites,
            staples=staples,
            item_ids=pa.array([f"i{row:08d}" for row in range(shop.num_items)]),
            user_ids=pa.array([f"u{row:08d}" for row in range(shop.num_users)]),
            num_kinds=shop.num_kinds,
        )

    def looked_at(self, rng: np.random.Generator, users: Draws) -> Draws:
        """An item for each look: four in five of a favourite kind, one in twenty a best seller of the whole shop."""
        count, num_items = len(users), len(self.kinds)
        favourite = self.favourites[users, rng.integers(0, FAVOURITES, count)]
        kinds = np.where(rng.random(count) < 0.85, favourite, rng.integers(0, self.num_kinds, count))
        items = _in_kind(rng, kinds, num_items, self.num_kinds)
        best = (num_items * rng.random(count) ** 4).astype(np.int64)
        return np.where(rng.random(count) < 0.05, best, items)


def _in_kind(rng: np.random.Generator, kinds: Draws, num_items: int, num_kinds: int) -> Draws:
    """One item of each kind, the first ones more often."""
    depth = num_items // num_kinds
    return (depth * rng.random(kinds.shape) ** 2).astype(np.int64) * num_kinds + kinds


_COLUMNS = (
    "user_id", "item_id", "event_type", "occurred_at", "event_id", "quantity", "price", "order_id", "session_id", "received_at",
)  # fmt: skip


def _mapping() -> dict[str, object]:
    def own(names: tuple[str, ...]) -> dict[str, str]:
        return {name: name for name in names}

    return {
        "interactions": {
            "path": "interactions.parquet",
            "columns": own(_COLUMNS),
            "first_day": OPENED_ON.isoformat(),
            "last_day": (OPENED_ON + timedelta(days=DAYS - 1)).isoformat(),
        },
        "items": {
            "path": "items.parquet",
            "columns": own(
                ("item_id", "title", "category", "sub_category", "brand", "price", "created_at", "is_active")
            ),
        },
        "users": {"path": "users.parquet", "columns": own(tuple(RAW_USERS.names))},
    }
