"""The life of a small shop in steps, from empty to a past that was told anew, and what every engine must hold after each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.dbt.compare import Digest, versions
from tests.dbt.shop import CATALOGUE, FIRST_DAY, PROJECT, DbtHome, Row, a_shop, event

RELATIONS = {
    **{path.stem: f"{path.parent.name}.{path.stem}" for path in PROJECT.glob("models/*/*.sql")},
    "dim_items_history": "marts.dim_items_history",
}
MIDNIGHT = datetime.combine(FIRST_DAY, datetime.min.time())
DAYS = [str(FIRST_DAY + timedelta(days=day)) for day in range(9)]
RUN = {"start_date": DAYS[4], "end_date": DAYS[4]}


@dataclass(frozen=True)
class Step:
    """What the shop holds at one moment, and which landed days dbt is then asked for."""

    interactions: list[Row]
    impressions: list[Row]
    items: list[Row]
    embeddings: list[Row]
    window: Mapping[str, str]


def landed_until(day: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["landed_on"] <= FIRST_DAY + timedelta(days=day)]


def impressions() -> list[Row]:
    """Three a day; the first of each day is told again two days later."""
    rows = []
    for day in range(9):
        at = MIDNIGHT + timedelta(days=day, hours=9)
        for position in range(3):
            row = {"request_id": f"r{day}", "user_id": "u1", "item_id": f"i{position}", "position": position, "shown_at": at,
                   "surface": "home", "bundle_version": "b1", "propensity": 1 / (1 + position), "source": "popular"}  # fmt: skip
            rows.append({**row, "landed_on": at.date()})
            if position == 0:
                rows.append({**row, "landed_on": at.date() + timedelta(days=2)})
    return rows


def corrected(rows: list[Row]) -> list[Row]:
    """The last days told anew: prices doubled, one event moved to another day, one gone, one day empty."""
    late = [row for row in rows if row["landed_on"] == FIRST_DAY + timedelta(days=5) and row["user_id"]]
    gone, moved = late[0]["source_row"], late[1]["source_row"]
    told = []
    for row in rows:
        day = (row["landed_on"] - FIRST_DAY).days
        if row["source_row"] == gone or day == 6:
            continue
        if row["source_row"] == moved:
            row = {**row, "occurred_at": MIDNIGHT - timedelta(days=20)}
        told.append({**row, "price": row["price"] * 2} if day == 5 and row.get("price") else row)
    return [*told, event("u1", "i1", MIDNIGHT - timedelta(days=40), "purchase", source_row=9_999, landed_on=FIRST_DAY + timedelta(days=7))]  # fmt: skip


CATALOGUE_LATER: list[Row] = [
    {**CATALOGUE[0], "price": 9.5, "stock": 0},
    {**CATALOGUE[2], "is_active": True},
    {"item_id": "i3", "title": "New", "category": "kitchen", "stock": 5},
]
"""One item dearer, one active again, one new; the one nobody ever bought is gone."""

EMBEDDINGS: list[Row] = [
    {"item_id": " i1", "name": "text", "length": 3, "vector": [0.5, -1.0, 2.0], "created_at": datetime(2024, 1, 1)},
    {"item_id": "i1", "name": "text", "length": 3, "vector": [9.0, 9.0, 9.0], "created_at": datetime(2023, 1, 1)},
    {"item_id": "i1", "name": "image", "length": 2, "vector": [0.0, 1.0]},
    {"item_id": "i2", "name": "text", "length": 3, "vector": [1.0, 2.0]},
    {"item_id": "unseen", "name": "text", "length": 3, "vector": [1.0, float("nan"), 2.0]},
    {"item_id": "unseen", "name": "image", "length": 2, "vector": [1.0, float("-inf")]},
    {"item_id": " ", "name": "image", "length": 2, "vector": [1.0, 1.0]},
]
TEXT_EMBEDDINGS: list[Row] = [
    {"item_id": " i1", "name": "encoded_text", "length": 2, "vector": [0.6, 0.8], "text_digest": "d1"}
]
IMAGE_EMBEDDINGS: list[Row] = [
    {"item_id": " i1", "name": "encoded_image", "length": 2, "vector": [0.5, 0.5], "image_digest": "d1"},
    {"item_id": "i2", "name": "encoded_image", "length": 2, "vector": [], "reason": "missing_picture"},
    {
        "item_id": "i3",
        "name": "encoded_image",
        "length": 2,
        "vector": [],
        "image_digest": "d3",
        "reason": "unreadable_picture",
    },
]
"""Of two rows of one item the younger is right, and each other fault is there once."""
EMBEDDINGS_LATER: list[Row] = [EMBEDDINGS[0] | {"vector": [1.0, 1.0, 1.0]}, *EMBEDDINGS[2:4]]

STEPS = {
    "from empty": Step(landed_until(3, a_shop()), landed_until(3, impressions()), CATALOGUE, EMBEDDINGS, {"start_date": DAYS[0], "end_date": DAYS[3]}),
    "a day": Step(landed_until(4, a_shop()), landed_until(4, impressions()), CATALOGUE, EMBEDDINGS, RUN),
    "a range": Step(landed_until(6, a_shop()), landed_until(6, impressions()), CATALOGUE, EMBEDDINGS, {"start_date": DAYS[5], "end_date": DAYS[6]}),
    "changed and late": Step(corrected(a_shop()), impressions(), CATALOGUE_LATER, EMBEDDINGS_LATER, {"start_date": DAYS[7], "end_date": DAYS[8]}),
    "all at once": Step(corrected(a_shop()), impressions(), CATALOGUE_LATER, EMBEDDINGS_LATER, {}),
}  # fmt: skip


def digest(home: DbtHome, relation: str) -> Digest:
    table = home.table(f"select * from {RELATIONS[relation]}")
    return Digest.of(versions(table) if relation.endswith("_history") else table)
