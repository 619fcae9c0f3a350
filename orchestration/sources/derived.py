"""Items and users of a shop that brings only its interactions."""

import pyarrow as pa

from ml.contract.columns import RAW_ITEMS, RAW_USERS
from orchestration.sources.sql import MappingSql

DERIVED = "derived_"
"""Before the name of a column from which items or users are derived."""


def derived_items_sql(rows: str, derived: tuple[str, ...], sql: MappingSql) -> str:
    """One row per item of a relation: texts by majority, the median price, there since its first event."""
    price = sql.cast("null", pa.float64())
    if "price" in derived:
        rows, price = sql.median(rows, "item_id", sql.readable(f"{DERIVED}price", pa.float64()))
    own = {
        "price": price,
        "created_at": "min(occurred_at)",
        "is_active": "true",
        "stock": sql.cast("null", pa.int64()),
    }
    texts = tuple(name for name in derived if name != "price")
    return _derived_sql(rows, "item_id", RAW_ITEMS, own, texts, sql)


def derived_users_sql(rows: str, derived: tuple[str, ...], sql: MappingSql) -> str:
    """One row per user of a relation: texts by majority, there since the first event."""
    return _derived_sql(rows, "user_id", RAW_USERS, {"signed_up_at": "min(occurred_at)"}, derived, sql)


def _derived_sql(
    rows: str, key: str, schema: pa.Schema, own: dict[str, str], by_majority: tuple[str, ...], sql: MappingSql
) -> str:
    numbers = [f"{expression} as {name}" for name, expression in own.items()]
    grouped = (
        f"(select {', '.join([key, *numbers])} from {rows} as rows_in_scope where {key} is not null group by {key})"
    )
    joins = " ".join(f"left join {_majority(rows, key, name)} as of_{name} using ({key})" for name in by_majority)
    known = (key, *own, *by_majority)
    columns = [name if name in known else f"{sql.cast('null', pa.string())} as {name}" for name in schema.names]
    return f"select {', '.join(columns)} from {grouped} as grouped {joins}"


def _majority(rows: str, key: str, name: str) -> str:
    """The most frequent text of each key; of equally frequent ones the first in the alphabet, so that runs agree."""
    counted = (
        f"(select {key}, trim({DERIVED}{name}) as {name}, count(*) as num_rows from {rows} as rows_in_scope "
        f"where {key} is not null and {DERIVED}{name} is not null group by 1, 2)"
    )
    place = f"row_number() over (partition by {key} order by num_rows desc, {name})"
    placed = f"(select {key}, {name}, {place} as place from {counted} as counted)"
    return f"(select {key}, {name} from {placed} as placed where place = 1)"
