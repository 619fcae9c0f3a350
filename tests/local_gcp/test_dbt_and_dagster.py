"""dbt-bigquery and dagster-gcp as they come, against the local servers."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud import bigquery, storage

from tests.local_gcp import LocalGcp

pytestmark = pytest.mark.usefixtures("fresh_gcp")

# -- dbt ---------------------------------------------------------------------------------------------------------------

PROJECT = {
    "dbt_project.yml": """
        name: small
        profile: small
        flags: {send_anonymous_usage_stats: false}
        seeds: {small: {+column_types: {id: int64, day: date, name: string}}}
    """,
    "profiles.yml": """
        small:
          target: local
          outputs:
            local: {type: bigquery, method: oauth, project: aisle-local, dataset: small, location: EU, threads: 4}
    """,
    "seeds/events.csv": """
        id,day,name
        1,2026-01-01,"a, b"
        2,2026-01-01,
        3,2026-01-02,c
    """,
    "models/stg_events.sql": """
        {{ config(materialized='view', persist_docs={'relation': true, 'columns': true}) }}
        select id, day, name from {{ ref('events') }}
    """,
    "models/by_static_days.sql": """
        {{ config(materialized='incremental', incremental_strategy='insert_overwrite', on_schema_change='fail',
            partition_by={'field': 'day', 'data_type': 'date'}, partitions=["date '2026-01-02'", "date '2026-01-03'"]) }}
        select id, day, {{ var('run') }} as run from {{ ref('stg_events') }}
        {% if is_incremental() %} where day in (date '2026-01-02', date '2026-01-03') {% endif %}
    """,
    "models/by_dynamic_days.sql": """
        {{ config(materialized='incremental', incremental_strategy='insert_overwrite', cluster_by=['id'],
            partition_by={'field': 'day', 'data_type': 'date'}) }}
        select id, day, {{ var('run') }} as run from {{ ref('stg_events') }}
        {% if is_incremental() %} where day >= date '2026-01-02' {% endif %}
    """,
    "models/merged.sql": """
        {{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}
        select id, name, {{ var('run') }} as run {% if var('run') > 1 %}, upper(name) as shout {% endif %}
        from {{ ref('stg_events') }} {% if is_incremental() %} where id > 2 {% endif %}
    """,
    "models/agreed.sql": """
        {{ config(materialized='table', contract={'enforced': true}) }}
        select id, cast(id as float64) as weight from {{ ref('stg_events') }}
    """,
    "models/models.yml": """
        models:
          - name: stg_events
            description: Events as they came. One row per event.
            columns:
              - {name: id, description: The key., data_tests: [unique, not_null]}
          - name: agreed
            columns:
              - {name: id, data_type: int64, constraints: [{type: not_null}]}
              - {name: weight, data_type: float64}
    """,
    "snapshots/history.sql": """
        {% snapshot history %}
        {{ config(unique_key='id', strategy='check', check_cols=['name'], hard_deletes='invalidate') }}
        select id, name from {{ ref('stg_events') }}
        {% endsnapshot %}
    """,
    "tests/assert_names_are_short.sql": "select * from {{ ref('stg_events') }} where length(name) > 10",
}

LATER = """
    id,day,name
    1,2026-01-01,changed
    3,2026-01-02,C
    4,2026-01-03,d
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text).lstrip())
    return tmp_path


def build(project: Path, run: int) -> dict[str, str]:
    """`dbt build`; the status of each node."""
    from dbt.cli.main import dbtRunner

    places = [f"--{name}-dir={project}" for name in ("project", "profiles")]
    folders = [f"--target-path={project / 'target'}", f"--log-path={project / 'logs'}"]
    command = ["build", "--quiet", "--no-use-colors", "--vars", json.dumps({"run": run}), *places, *folders]
    done = dbtRunner().invoke(command)
    assert done.exception is None, done.exception
    return {result.node.name: f"{result.status} {result.message or ''}" for result in done.result}


def rows(sql: str) -> list[tuple[Any, ...]]:
    with bigquery.Client() as client:
        return [tuple(row.values()) for row in client.query_and_wait(sql)]


@pytest.mark.filterwarnings("ignore")  # dbt's own
def test_a_dbt_project_builds_twice(project: Path) -> None:
    first = build(project, run=1)
    assert {name: status for name, status in first.items() if not status.startswith(("success", "pass"))} == {}
    with bigquery.Client() as client:
        static, agreed = client.get_table("small.by_static_days"), client.get_table("small.agreed")
        assert static.time_partitioning.field == "day"
        assert client.get_table("small.by_dynamic_days").clustering_fields == ["id"]
        assert [(field.name, field.field_type, field.mode) for field in agreed.schema] == [
            ("id", "INTEGER", "REQUIRED"), ("weight", "FLOAT", "NULLABLE")]  # fmt: skip
        staged = client.get_table("small.stg_events")
        assert (staged.description, staged.schema[0].description) == (
            "Events as they came. One row per event.", "The key.")  # fmt: skip

    (project / "seeds/events.csv").write_text(textwrap.dedent(LATER).lstrip())
    second = build(project, run=2)
    assert {name: status for name, status in second.items() if not status.startswith(("success", "pass"))} == {}
    days = [(1, 1), (2, 1), (3, 2), (4, 2)]  # day 1 as the first run left it, the others written anew
    assert rows("select id, run from small.by_static_days order by id") == days
    assert rows("select id, run from small.by_dynamic_days order by id") == days
    merged = [(1, "a, b", 1, None), (2, None, 1, None), (3, "C", 2, "C"), (4, "d", 2, "D")]
    assert rows("select id, name, run, shout from small.merged order by id") == merged
    assert rows("select id, name, dbt_valid_to is null from small.history order by id, dbt_valid_from") == [
        (1, "a, b", False), (1, "changed", True), (2, None, False), (3, "c", False), (3, "C", True), (4, "d", True),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_a_broken_contract_and_a_wrong_model_fail_at_once(project: Path) -> None:
    (project / "models/agreed.sql").write_text(
        PROJECT["models/agreed.sql"].replace("select id,", "select nullif(id, 2) as id,")
    )
    (project / "models/wrong.sql").write_text("select nothing from {{ ref('stg_events') }}")
    statuses = build(project, run=1)
    assert "Required field id cannot be null" in statuses["agreed"]
    assert "nothing" in statuses["wrong"]


# -- Dagster -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.mark.filterwarnings("ignore")  # dagster-gcp's own
def test_dagsters_resources_and_io_manager_run_unchanged(fresh_gcp: LocalGcp, instance: dg.DagsterInstance) -> None:
    from dagster_gcp import BigQueryResource, GCSPickleIOManager, GCSResource

    @dg.asset
    def numbers(warehouse: BigQueryResource) -> list[int]:
        with warehouse.get_client() as client:
            client.create_dataset("shop")
            client.query_and_wait("create table shop.numbers as select x from unnest([1, 2, 3]) as x")
            return [row["x"] for row in client.query_and_wait("select x from shop.numbers order by x")]

    @dg.asset
    def total(numbers: list[int], files: GCSResource) -> int:
        files.get_client().bucket(fresh_gcp.bucket).blob("seen").upload_from_string(str(numbers))
        return sum(numbers)

    files = GCSResource(project=fresh_gcp.project)
    resources = {
        "warehouse": BigQueryResource(project=fresh_gcp.project),
        "files": files,
        "io_manager": GCSPickleIOManager(gcs=files, gcs_bucket=fresh_gcp.bucket, gcs_prefix="assets"),
    }
    result = dg.materialize([numbers, total], resources=resources, instance=instance)
    assert result.output_for_node("total") == 6
    names = {blob.name for blob in storage.Client().list_blobs(fresh_gcp.bucket)}
    assert names == {"seen", "assets/numbers", "assets/total"}


# -- SQLAlchemy, which Great Expectations reads through -----------------------------------------------------------------


def test_sqlalchemy_sees_columns_and_rows(fresh_gcp: LocalGcp) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    with bigquery.Client() as client:
        client.create_dataset("shop")
        client.query_and_wait("create table shop.t as select 1 as a, 'x' as b union all select 2, null")
    engine = sqlalchemy.create_engine(f"bigquery://{fresh_gcp.project}/shop")
    inspector = sqlalchemy.inspect(engine)
    assert inspector.get_table_names() == ["t"]
    assert [(column["name"], str(column["type"])) for column in inspector.get_columns("t")] == [
        ("a", "INTEGER"), ("b", "VARCHAR")]  # fmt: skip
    table = sqlalchemy.Table("t", sqlalchemy.MetaData(), autoload_with=engine)
    count = sqlalchemy.func.count()
    nulls = sqlalchemy.func.sum(sqlalchemy.case((table.c.b.is_(None), 1), else_=0))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.select(count, nulls).where(table.c.a.in_([1, 2]))).one() == (2, 1)
    engine.dispose()
