"""Bounds of `landed_on` are bounds of the partition column itself: what BigQuery prunes by."""

from datetime import date

import pytest

from ml.contract.errors import MappingError
from orchestration.sources.arrival import Arrival, Branch, Days, arrival_of
from orchestration.sources.mapping import SourceTable
from orchestration.sources.rules import ColumnRef
from orchestration.sources.user_table import INGESTION_TIME, UserTable

DAYS = Days(date(2026, 1, 1), date(2026, 1, 3))
SINCE = Days(date(2026, 1, 1), None)
TYPES = {"at": "TIMESTAMP", "civil": "DATETIME", "day": "DATE", "received": "TIMESTAMP"}


def table(partition: str | None, *, needs_filter: bool = False, timezone: str = "UTC") -> UserTable:
    hidden = {name.lower(): kind for name, kind in INGESTION_TIME.items()} if partition == "_PARTITIONTIME" else {}
    return UserTable(
        address="p.shop.sales",
        mapped=SourceTable(table="shop.sales", timezone=timezone),
        types=TYPES | hidden,
        partition=partition,
        clusters=(),
        needs_filter=needs_filter,
        kind="TABLE",
        state="",
        num_rows=0,
    )


def arrival(found: UserTable, *instants: str, landed_on: str | None = None, days: Days = SINCE) -> Arrival:
    return arrival_of(found, days, landed_on=landed_on, instants=[ColumnRef(column=name) for name in instants])


def test_an_instant_that_is_the_partition_column_is_bounded_as_it_is():
    assert arrival(table("at"), "at", days=DAYS) == Arrival(
        (
            Branch(
                "date(`at`)",
                "`at` >= timestamp '2026-01-01 00:00:00+00:00' and `at` < timestamp '2026-01-04 00:00:00+00:00'",
            ),
            Branch("date '2026-01-01'", "`at` is null"),
        )
    )


def test_a_day_that_is_the_partition_column_needs_no_function():
    assert arrival(table("day", needs_filter=True), "at", landed_on="day", days=DAYS) == Arrival(
        (
            Branch("`day`", "`day` >= date '2026-01-01' and `day` < date '2026-01-04'"),
            Branch("date '2026-01-01'", "`day` is null"),
        )
    )


def test_a_table_by_ingestion_time_has_no_rows_without_a_day():
    for column, day in (("_PARTITIONDATE", "`_PARTITIONDATE`"), ("_partitiontime", "date(`_partitiontime`)")):
        [known] = arrival(table("_PARTITIONTIME", needs_filter=True), "at", landed_on=column).branches
        assert known.day == day


def test_a_row_that_was_not_received_yet_landed_when_it_happened():
    [known, unknown] = arrival(table("received"), "received", "at").branches
    assert known.day == "date(`received`)"
    assert unknown.day == "coalesce(date(`at`), date '2026-01-01')"
    assert unknown.rows == "`received` is null and (date(`at`) is null or date(`at`) >= date '2026-01-01')"


@pytest.mark.parametrize(
    ("found", "instants"),
    [
        (table(None), ["at"]),
        (table("at"), ["received", "at"]),  # what is late is in an older partition
        (table("day"), ["at"]),
        (table("civil", timezone="Europe/Berlin"), ["civil"]),  # its days are not UTC's
    ],
)
def test_an_instant_that_is_not_is_computed_and_warned_of(found: UserTable, instants: list[str]):
    made = arrival(found, *instants)
    [branch] = made.branches
    assert branch.day.startswith("coalesce(date(")
    assert f"comes from {instants[0]}. Each run reads the whole table." in str(made.warning)


def test_a_civil_time_in_utc_is_as_good():
    [known, _] = arrival(table("civil"), "civil").branches
    assert known == Branch("date(`civil`)", "`civil` >= datetime '2026-01-01 00:00:00'")


def test_a_table_that_wants_a_filter_on_another_column_is_refused():
    with pytest.raises(MappingError, match=r"Set `landed_on: _PARTITIONTIME` in the mapping"):
        arrival(table("_PARTITIONTIME", needs_filter=True), "at")
