"""A day costs a day, and gives what everything in one go gives."""

from datetime import timedelta

from tests.dbt.shop import CATALOGUE, CUTS, FIRST_DAY, DbtHome, a_shop

TABLES = [
    "intermediate.int_interactions_judged",
    "intermediate.int_interactions_rejected",
    "intermediate.int_user_item_days",
    "marts.fct_interactions",
    "marts.feat_items",
    "marts.feat_users",
    "marts.dim_items",
    "marts.dim_users",
]


def contents(home: DbtHome) -> dict[str, list[tuple[object, ...]]]:
    return {table: home.rows(f"select * from {table} order by all") for table in TABLES}


WINDOWS = [(0, 3), (4, 4), (5, 5), (6, 8)]
"""First and last day, counted from the first: a backfill, two days, another backfill."""


def test_windows_one_after_the_other_give_what_one_range_gives(built: DbtHome, home: DbtHome) -> None:
    for first, last in WINDOWS:
        start, end = FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=last)
        # Later days have not arrived yet: nothing of them can help.
        home.land((row for row in a_shop() if row["landed_on"] <= end), items=CATALOGUE, users=[{"user_id": "u1"}])
        assert not home.build(start_date=str(start), end_date=str(end), cuts=CUTS).failed

    assert contents(home) == contents(built)


def test_building_again_changes_nothing(built: DbtHome) -> None:
    before = contents(built)
    assert not built.build(cuts=CUTS).failed
    assert contents(built) == before


def test_a_day_that_grows_within_the_late_window_is_read_again(home: DbtHome) -> None:
    rows = a_shop(days=3)
    home.land(row for row in rows if row["source_row"] % 2)
    home.build("--select", "tag:daily")
    home.land(rows)

    # Asked for the last day only: the two before it have grown since.
    today = str(FIRST_DAY + timedelta(days=2))
    assert not home.build("--select", "tag:daily", start_date=today, end_date=today).failed

    assert home.rows("select count(*) from intermediate.int_interactions_judged") == [(len(rows),)]
