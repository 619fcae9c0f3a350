"""Items and users of a shop that brings only its interactions."""

from ml.contract.columns import RAW_ITEMS, RAW_USERS


def derived_items_sql(rows: str, derived: tuple[str, ...]) -> str:
    """One row per item of a relation: texts by majority, the median price, there since its first event."""
    price = "median(try_cast(derived_price as double))" if "price" in derived else "cast(null as double)"
    own = {
        "price": price,
        "created_at": "min(occurred_at)",
        "is_active": "true",
        "stock": "cast(null as bigint)",
    }
    return _derived_sql(
        rows, "item_id", tuple(RAW_ITEMS.names), own, tuple(name for name in derived if name != "price")
    )


def derived_users_sql(rows: str, derived: tuple[str, ...]) -> str:
    """One row per user of a relation: texts by majority, there since the first event."""
    return _derived_sql(rows, "user_id", tuple(RAW_USERS.names), {"signed_up_at": "min(occurred_at)"}, derived)


def _derived_sql(rows: str, key: str, names: tuple[str, ...], own: dict[str, str], by_majority: tuple[str, ...]) -> str:
    numbers = [f"{expression} as {name}" for name, expression in own.items()]
    grouped = f"(select {', '.join([key, *numbers])} from {rows} where {key} is not null group by {key})"
    majorities = [_majority(rows, key, name) for name in by_majority]
    joins = " ".join(
        f"left join {relation} as of_{name} using ({key})"
        for name, relation in zip(by_majority, majorities, strict=True)
    )
    columns = [name if name in (key, *own, *by_majority) else f"cast(null as varchar) as {name}" for name in names]
    return f"select {', '.join(columns)} from {grouped} {joins} order by {key}"


def _majority(rows: str, key: str, name: str) -> str:
    """The most frequent text of each key; of equally frequent ones the first in the alphabet, so that runs agree."""
    counted = (
        f"(select {key}, trim(derived_{name}) as {name}, count(*) as num_rows from {rows} "
        f"where {key} is not null and derived_{name} is not null group by all)"
    )
    place = f"row_number() over (partition by {key} order by num_rows desc, {name})"
    return f"(select {key}, {name} from {counted} qualify {place} = 1)"
