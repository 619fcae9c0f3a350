"""What BigQuery's target makes of the same raw rows is what DuckDB's makes, from empty, day by day, and after the past has changed.

Run against a local server that speaks BigQuery's protocol (tests/local_gcp); cost and quotas are not its business, the SQL is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from tests.dbt.bigquery import BigQueryHome
from tests.dbt.compare import Digest, versions
from tests.dbt.shop import CUTS, PROJECT, DbtHome, event
from tests.dbt.steps import DAYS, IMAGE_EMBEDDINGS, RELATIONS, STEPS, TEXT_EMBEDDINGS, digest
from tests.local_gcp import LocalGcp

# dbt-bigquery asks a replaced table for its partitioning in the client's old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This method will be deprecated in future versions:PendingDeprecationWarning"
)

DAILY = sorted(path.stem for path in PROJECT.glob("models/*/*.sql") if "daily_table(" in path.read_text())
SCANNED_BY_DAY = {"interactions", "impressions", "int_interactions_checked", "stg_shop__impressions", *DAILY}
"""Tables with a landed day, and the views between them."""


@dataclass(frozen=True)
class Told:
    """Both engines after every step."""

    digests: Mapping[tuple[str, str, str], Digest]
    """By engine, step and relation."""
    statements: Mapping[str, str]
    """What a day of BigQuery sent, by model."""
    compiled: Mapping[tuple[str, str], str]
    """What BigQuery's target compiled to, by step and model."""
    homes: tuple[DbtHome, BigQueryHome]


@pytest.fixture(scope="module")
def told(local_gcp: LocalGcp, tmp_path_factory: pytest.TempPathFactory) -> Told:
    local_gcp.reset()
    path = tmp_path_factory.mktemp("bigquery")
    homes = DbtHome(tmp_path_factory.mktemp("duckdb")), BigQueryHome(path, reached_by=local_gcp.environment())
    digests, statements, compiled = {}, {}, {}
    for number, (name, step) in enumerate(STEPS.items()):
        for home in homes:
            home.land(
                step.interactions,
                items=step.items,
                item_embeddings=step.embeddings,
                item_text_embeddings=TEXT_EMBEDDINGS,
                item_image_embeddings=IMAGE_EMBEDDINGS,
                impressions=step.impressions,
                users=[{"user_id": "u1"}],
            )
            result = home.build(**step.window, cuts=CUTS)
            assert not result.failed, "\n".join(
                f"{home.target}, {name}: {result.messages[node]}" for node in result.failed
            )
            digests.update({(home.target, name, relation): digest(home, relation) for relation in RELATIONS})
        homes[1].keep_sql(f"{number} {name}")
        compiled |= {
            (name, model.stem): model.read_text() for model in path.glob("target/compiled/aisle/models/*/*.sql")
        }
        if name == "a day":
            statements = {model.stem: model.read_text() for model in path.glob("target/run/aisle/models/*/*.sql")}
    return Told(digests, statements, compiled, homes)


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


@pytest.mark.parametrize("model", DAILY)
def test_a_day_replaces_the_partitions_it_was_told_and_no_other(told: Told, model: str) -> None:
    merge = next(
        found for found in sqlglot.parse(told.statements[model], read="bigquery") if isinstance(found, exp.Merge)
    )
    assert merge.args["on"] == exp.false()
    deleted = next(when for when in merge.args["whens"].expressions if isinstance(when.args["then"], exp.Var) and when.args["then"].name.upper() == "DELETE")  # fmt: skip
    assert [literal.name for literal in deleted.find_all(exp.Literal)] == DAYS[1:5]  # the day and three of lateness
    assert not deleted.find(exp.Select)


@pytest.mark.parametrize("model", DAILY)
def test_a_day_reads_partitions_between_literals(told: Told, model: str) -> None:
    unbounded = {(table.name, select_of(table).parent.alias) for table in scans(told.compiled["a day", model]) if not lower_bounds(table)}  # fmt: skip
    # An event key may come back after any time; of it two narrow columns are read.
    assert unbounded == ({("int_interactions_judged", "ids_before")} if model == "int_interactions_judged" else set())


@pytest.mark.parametrize("model", DAILY)
def test_a_day_is_estimated_at_less_than_all_days(told: Told, model: str) -> None:
    day, everything = (told.homes[1].estimated_bytes(told.compiled[step, model]) for step in ("a day", "all at once"))
    assert 0 < day < everything


def test_a_look_back_ends_at_the_oldest_day_the_window_s_rows_are_of(told: Told) -> None:
    bounds = {
        bound for table in scans(told.compiled["a day", "int_interactions_judged"]) for bound in lower_bounds(table)
    }
    assert bounds == {DAYS[1], str(oldest_event_day())}


def oldest_event_day() -> Any:
    window = [row for row in STEPS["a day"].interactions if DAYS[1] <= str(row["landed_on"]) <= DAYS[4]]
    return min(row["occurred_at"].date() for row in window if row["occurred_at"])


def scans(sql: str) -> list[exp.Table]:
    return [table for table in sqlglot.parse_one(sql, read="bigquery").find_all(exp.Table) if table.db and table.name in SCANNED_BY_DAY]  # fmt: skip


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
        "int_item_embeddings_judged": (None, ["item_id"]),
        "fct_interactions": ("landed_on", ["event_date", "user_id"]),
        "fct_impressions": ("landed_on", ["item_id"]),
        "dim_items": (None, ["item_id"]),
        "dim_item_embeddings": (None, ["item_id"]),
        "dim_users": (None, ["user_id"]),
        "feat_items": ("cut_at", ["item_id"]),
        "feat_users": ("cut_at", ["user_id"]),
        "dim_items_history": (None, ["item_id"]),
    }


@pytest.mark.parametrize(("age_days", "said"), [(1, "pass"), (4, "warn"), (60, "error")])
def test_a_source_is_as_fresh_as_its_newest_complete_day(told: Told, age_days: int, said: str) -> None:
    at = datetime.now() - timedelta(days=age_days)
    for home in told.homes:
        home.land([event("u1", "i1", at)])
        result = home.dbt("source", "freshness")
        assert result.status["interactions"] == said, home.target
