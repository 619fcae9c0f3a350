"""The SQL by which events leave the warehouse as numbers."""

from datetime import UTC, datetime

import pyarrow as pa

from ml.contract.errors import DataError
from ml.contract.events import EVENT_TYPES


def encoded_events(until: datetime) -> str:
    """SQL for DuckDB and BigQuery: the events known before an instant, with the columns of `ENCODED_EVENTS`.

    A row number is the place of an id among all ids of its table in the order of their bytes, which is also Python's order of
    strings: so the vocabularies of a snapshot are its id columns sorted, and no table of codes has to be kept from run to run.
    Baskets are numbered user by user, so that no step has to sort all events of the shop on one machine.
    """
    codes = " ".join(f"when '{event_type}' then {event_type.code}" for event_type in EVENT_TYPES)
    # Not a parameter: an export takes none. BigQuery reads an instant without a zone as UTC.
    cut = f"timestamp '{until.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"
    return f"""
        with users as (
            select user_id, row_number() over (order by user_id) - 1 as user_row
            from marts.dim_users where user_id is not null
        ),
        items as (
            select item_id, row_number() over (order by item_id) - 1 as item_row
            from marts.dim_items where item_id is not null
        )
        select
            users.user_row,
            items.item_row,
            case events.event_type {codes} end as event_code,
            events.occurred_at,
            events.known_at,
            events.quantity,
            events.price,
            events.amount,
            case
                when events.basket_id is null then -1
                else dense_rank() over (partition by events.user_id order by events.basket_id nulls last) - 1
            end as basket_number
        from marts.fct_interactions as events
        inner join users on events.user_id = users.user_id
        inner join items on events.item_id = items.item_id
        where events.known_at < {cut} and events.occurred_at < {cut}
    """


def require_byte_order(ids: pa.ChunkedArray, *, table: str) -> None:
    """Pass when ids the warehouse sorted are in the order its row numbers are read in.

    Raises:
        DataError: the warehouse sorts text by another collation.
    """
    listed = ids.to_pylist()
    if listed != sorted(listed):
        raise DataError(
            f"`{table}` must be sorted by the bytes of its ids. Received: another order. "
            "Give the table's id column the default (binary) collation."
        )
