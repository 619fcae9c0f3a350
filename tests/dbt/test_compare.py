"""The comparison of two engines sees every difference that matters and none that does not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from tests.dbt.compare import Digest, versions

AT = datetime(2024, 5, 1, 12, 0, 0, 123456)
ROWS = [
    {"item_id": "i1", "price": 0.3, "stock": 1, "at": AT},
    {"item_id": "i2", "price": None, "stock": 2, "at": AT + timedelta(days=1)},
    {"item_id": "i2", "price": None, "stock": 2, "at": AT + timedelta(days=1)},
]


def digest(rows: list[dict[str, object]]) -> Digest:
    return Digest.of(pa.Table.from_pylist(rows))


def test_order_width_zone_and_the_last_digit_do_not_matter() -> None:
    told_otherwise = [
        {**row, "stock": Decimal(str(row["stock"])), "at": row["at"].replace(tzinfo=UTC)}  # type: ignore[attr-defined]
        for row in reversed(ROWS)
    ]
    told_otherwise[-1]["price"] = 0.1 + 0.2
    assert digest(ROWS).differences(digest(told_otherwise)) == []


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (lambda rows: rows.pop(), ["3 and 2 rows"]),
        (lambda rows: rows[0].update(price=0.30001), ["column price"]),
        (lambda rows: rows[0].update(price=None), ["column price"]),
        (lambda rows: rows[1].update(price=0.0), ["column price"]),
        (lambda rows: rows[0].update(at=AT + timedelta(microseconds=1)), ["column at"]),
        (lambda rows: rows[0].update(item_id="i2", stock=3), ["column item_id", "column stock"]),
        (lambda rows: [row.pop("stock") for row in rows], None),
    ],
)
def test_a_planted_difference_is_seen(
    spoil: Callable[[list[dict[str, object]]], object], seen: list[str] | None
) -> None:
    rows: list[dict[str, object]] = [dict(row) for row in ROWS]
    spoil(rows)
    found = digest(ROWS).differences(digest(rows))
    assert found == seen if seen is not None else found[0].startswith("columns ")


def test_values_that_changed_places_are_seen() -> None:
    rows = [{**ROWS[0], "stock": 2}, {**ROWS[1], "stock": 1}, ROWS[2]]
    assert digest(ROWS).differences(digest(rows)) == ["values stand in other rows"]


def test_a_history_is_told_by_runs_and_not_by_clocks() -> None:
    def history(first: datetime, second: datetime) -> pa.Table:
        return pa.Table.from_pylist(
            [
                {"item_id": "i1", "dbt_scd_id": str(first), "dbt_updated_at": first, "dbt_valid_from": first, "dbt_valid_to": second},
                {"item_id": "i1", "dbt_scd_id": str(second), "dbt_updated_at": second, "dbt_valid_from": second, "dbt_valid_to": None},
            ]
        )  # fmt: skip

    here, there = history(AT, AT + timedelta(hours=1)), history(AT + timedelta(days=9), AT + timedelta(days=20))
    assert versions(here).to_pylist() == versions(there).to_pylist()
    assert versions(here)["dbt_valid_to"].to_pylist() == [1, None]
