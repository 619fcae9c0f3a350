"""What BigQuery's target makes of the same raw rows is what DuckDB's makes, from empty, day by day, and after the past has changed.

Run against a local server that speaks BigQuery's protocol (tests/local_gcp); cost and quotas are not its business, the SQL is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from tests.dbt.bigquery import BigQueryHome
from tests.dbt.compare import Digest, versions
from tests.dbt.shop import CATALOGUE, CUTS, FIRST_DAY, PROJECT, DbtHome, Row, a_shop, event
from tests.local_gcp import LocalGcp

# dbt-bigquery asks a replaced table for its partitioning in the client's old way.
pytestmark = pytest.mark.filterwarnings("ignore:This method will be deprecated in future versions:PendingDeprecationWarning")

RELATIONS = {
    **{path.stem: f"{path.parent.name}.{path.stem}" for path in PROJECT.glob("models/*/*.sql")},
    "dim_items_history": "marts.dim_items_history",
}
PARTITIONED = {"interactions", "impressions", *(path.stem for path in PROJECT.glob("models/*/*.sql") if "daily_table(" in path.read_text())}  # fmt: skip
MIDNIGHT = datetime.combine(FIRST_DAY, datetime.min.time())
DAYS = [str(FIRST_DAY + timedelta(days=day)) for day in range(9)]
RUN = {"start_date": DAYS[4], "end_date": DAYS[4]}


@dataclass(frozen=True)
class Step:
    """What the shop holds at one moment, and which landed days dbt is then asked for."""

    interactions: list[Row]
    impressions: list[Row]
    items: list[Row]
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

STEPS = {
    "from empty": Step(landed_until(3, a_shop()), landed_until(3, impressions()), CATALOGUE, {"start_date": DAYS[0], "end_date": DAYS[3]}),
    "a day": Step(landed_until(4, a_shop()), landed_until(4, impressions()), CATALOGUE, RUN),
    "a range": Step(landed_until(6, a_shop()), landed_until(6, impressions()), CATALOGUE, {"start_date": DAYS[5], "end_date": DAYS[6]}),
    "changed and late": Step(corrected(a_shop()), impressions(), CATALOGUE_LATER, {"start_date": DAYS[7], "end_date": DAYS[8]}),
    "all at once": Step(corrected(a_shop()), impressions(), CATALOGUE_LATER, {}),
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """Both engines after every step."""

    digests: Mapping[tuple[str, str, str], Digest]
    """By engine, step and relation."""
    statements: Mapping[str, str]
    """What a day of BigQuery ran, by model, with what it compiled to."""
    homes: tuple[DbtHome, BigQueryHome]


@pytest.fixture(scope="module")
def told(local_gcp: LocalGcp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    local_gcp.reset()
    path = tmp_path_factory.mktemp("bigquery")
    homes = DbtHome(tmp_path_factory.mktemp("duckdb")), BigQueryHome(path, reached_by=local_gcp.environment())
    digests, statements = {}, {}
    for number, (name, step) in enumerate(STEPS.items()):
        for home in homes:
            home.land(step.interactions, items=step.items, impressions=step.impressions, users=[{"user_id": "u1"}])
            result = home.build(**step.window, cuts=CUTS)
            assert not result.failed, "\n".join(f"{home.target}, {name}: {result.messages[node]}" for node in result.failed)
            digests.update({(home.target, name, relation): digest(home, relation) for relation in RELATIONS})
        homes[1].keep_sql(f"{number} {name}")
        if name == "a day":
            statements = {model.stem: model.read_text() for model in (path / "target" / "run").rglob("models/**/*.sql")}
            statements |= {f"{model.stem} compiled": model.read_text() for model in (path / "target" / "compiled").rglob("models/**/*.sql")}  # fmt: skip
    yield Told(digests, statements, homes)


def digest(home: DbtHome, relation: str) -> Digest:
    table = home.table(f"select * from {RELATIONS[relation]}")
    return Digest.of(versions(table) if relation.endswith("_history") else table)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("step", STEPS)
def test_both_engines_hold_the_same_rows(told: Told, step: str, relation: str) -> None:
    here, there = told.digests["duckdb", step, relation], told.digests["bigquery", step, relation]
    assert here.differences(there) == []


@pytest.mark.parametrize("relation", sorted(RELATIONS.keys() - {"dim_items_history"}))
@pytest.mark.parametrize("engine", ["duckdb", "bigquery"])
def test_windows_one_after_the_other_give_what_everything_at_once_gives(told: Told, engine: str, relation: str) -> None:
    by_windows, at_once = (told.digests[engine, step, relation] for step in ("changed and late", "all at once"))
    assert by_windows.differences(at_once) == []


def test_the_steps_are_not_all_alike(told: Told) -> None:
    """Equal tables prove something only where something changed."""
    for relation in RELATIONS.keys() - {"dim_users", "int_feature_cuts", "stg_shop__users"}:
        seen = {told.digests["bigquery", step, relation].rows for step in STEPS}
        assert len(seen) > 1, relation


def test_both_engines_add_up_to_the_same(told: Told) -> None:
    sums = """
        select
            (select count(*) from marts.fct_interactions) as num_facts,
            (select round(sum(amount), 4) from marts.fct_interactions) as amount,
            (select count(distinct user_id) from marts.fct_interactions) as num_users,
            (select round(sum(weight_decayed), 3) from marts.feat_items) as weight,
            (select round(sum(days_since_first_event), 3) from marts.feat_users) as days,
            (select count(*) from intermediate.int_interactions_rejected where reason = 'duplicate') as num_duplicates
    """
    here, there = (home.rows(sums) for home in told.homes)
    assert here == there
    assert all(here[0])


def test_the_history_tells_what_became_of_each_item(told: Told) -> None:
    for home in told.homes:
        history = versions(home.table("select * from marts.dim_items_history")).to_pylist()
        lives = {item: sorted((row["dbt_valid_from"], row["dbt_valid_to"], row["price"], row["is_active"], row["in_stock"]) for row in history if row["item_id"] == item) for item in ("i1", "i2", "unseen")}  # fmt: skip
        # The first, third and fourth run wrote something: 0 is from empty, the last that of the changes.
        changed = max(row["dbt_valid_from"] for row in history)
        assert lives == {
            "i1": [(0, changed, None, True, None), (changed, None, 9.5, True, False)],
            "i2": [(0, changed, None, False, False), (changed, None, None, True, False)],
            "unseen": [(0, changed, None, True, None)],
        }


def test_the_unit_tests_of_the_project_hold_on_bigquery(told: Told) -> None:
    result = told.homes[1].dbt("test", "--select", "test_type:unit", max_events_per_day=1000)
    assert len(result.status) >= 9
    assert set(result.status.values()) == {"pass"}, result.messages
    told.homes[1].keep_sql("unit tests")


@pytest.mark.parametrize("model", sorted(PARTITIONED - {"interactions", "impressions"}))
def test_a_day_replaces_the_partitions_it_was_told_and_no_other(told: Told, model: str) -> None:
    merge = next(found for found in sqlglot.parse(told.statements[model], read="bigquery") if isinstance(found, exp.Merge))
    assert merge.args["on"] == exp.false()
    deleted = next(when for when in merge.args["whens"].expressions if isinstance(when.args["then"], exp.Var) and when.args["then"].name.upper() == "DELETE")  # fmt: skip
    assert [literal.name for literal in deleted.find_all(exp.Literal)] == DAYS[1:5]  # the day and three of lateness
    assert not deleted.find(exp.Select)


@pytest.mark.parametrize("model", sorted(PARTITIONED - {"interactions", "impressions"}))
def test_a_day_reads_partitions_between_literals(told: Told, model: str) -> None:
    unbounded = {(table.name, select_of(table).parent.alias) for table in scans(told.statements[f"{model} compiled"]) if not lower_bounds(table)}  # fmt: skip
    # An event key may come back after any time; of it two narrow columns are read.
    assert unbounded == ({("int_interactions_judged", "ids_before")} if model == "int_interactions_judged" else set())


def test_a_look_back_ends_at_the_oldest_day_the_window_s_rows_are_of(told: Told) -> None:
    bounds = {bound for table in scans(told.statements["int_interactions_judged compiled"]) for bound in lower_bounds(table)}
    assert bounds == {DAYS[1], str(oldest_event_day())}


def oldest_event_day() -> Any:
    window = [row for row in STEPS["a day"].interactions if DAYS[1] <= str(row["landed_on"]) <= DAYS[4]]
    return min(row["occurred_at"].date() for row in window if row["occurred_at"])


def scans(sql: str) -> list[exp.Table]:
    return [table for table in sqlglot.parse_one(sql, read="bigquery").find_all(exp.Table) if table.db and table.name in PARTITIONED | {"int_interactions_checked", "stg_shop__impressions"}]  # fmt: skip


def select_of(table: exp.Table) -> exp.Select:
    found = table.find_ancestor(exp.Select)
    assert found
    return found


def lower_bounds(table: exp.Table) -> set[str]:
    """Days, literal in the SQL, before which the scan asks for nothing."""
    where = select_of(table).args.get("where")
    return {
        bound.expression.find(exp.Literal).name
        for bound in (where.find_all(exp.GTE) if where else ())
        if bound.this.name == "landed_on" and bound.expression.find(exp.Literal)
    }


def test_tables_are_partitioned_and_clustered_by_what_readers_ask_for(told: Told) -> None:
    with told.homes[1].client() as client:
        found = {
            name: (table.time_partitioning and table.time_partitioning.field, table.clustering_fields)
            for name, relation in RELATIONS.items()
            for table in [client.get_table(relation)]
            if table.table_type == "TABLE"
        }
    assert found == {
        "int_interactions_judged": ("landed_on", ["event_date"]),
        "int_interactions_rejected": ("landed_on", None),
        "int_user_item_days": ("landed_on", None),
        "int_feature_cuts": (None, None),
        "fct_interactions": ("landed_on", ["event_date", "user_id"]),
        "fct_impressions": ("landed_on", ["item_id"]),
        "dim_items": (None, ["item_id"]),
        "dim_users": (None, ["user_id"]),
        "feat_items": ("cut_at", ["item_id"]),
        "feat_users": ("cut_at", ["user_id"]),
        "dim_items_history": (None, ["item_id"]),
    }


@pytest.mark.parametrize(("age_days", "said"), [(1, "pass"), (4, "warn"), (9, "error"), (60, "error")])
def test_a_source_is_as_fresh_as_its_newest_complete_day(told: Told, age_days: int, said: str) -> None:
    at = datetime.now() - timedelta(days=age_days)
    for home in told.homes:
        home.land([event("u1", "i1", at)])
        result = home.dbt("source", "freshness")
        assert result.status["interactions"] == said, home.target
