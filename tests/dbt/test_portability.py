"""Every model says the same to BigQuery. Nothing here reaches it: the SQL is written and read, not run."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlglot
from sqlglot import exp

from tests.dbt.shop import CUTS, PROJECT

DUCKDB_ONLY = {
    "TRY_CAST",
    "EPOCH_US",
    "DATE_PART",
    "STRFTIME",
    "LIST",
    "STRUCT_PACK",
    "READ_PARQUET",
    "DOUBLE",
    "VARCHAR",
}
WINDOW = {"start_date": "2024-05-05", "end_date": "2024-05-06"}


@contextmanager
def no_network() -> Iterator[None]:
    """A BigQuery adapter without a line: it opens nothing, and every table it is asked for is there already."""
    from dbt.adapters.bigquery import BigQueryAdapter, BigQueryConnectionManager, BigQueryRelation
    from dbt.adapters.contracts.connection import Connection, ConnectionState

    def opened(_: Any, connection: Connection) -> Connection:
        connection.handle, connection.state = mock.Mock(), ConnectionState.OPEN
        return connection

    def found(_: Any, database: str, schema: str, identifier: str) -> BigQueryRelation:
        return BigQueryRelation.create(database, schema, identifier, type="table")

    with (
        mock.patch.object(BigQueryConnectionManager, "open", classmethod(opened)),
        mock.patch.object(BigQueryAdapter, "get_relation", found),
    ):
        yield


def bigquery(command: str, folder: Path, *args: str, **variables: Any) -> Any:
    from dbt.cli.main import dbtRunner

    places = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", folder, "--log-path", folder]
    call = [
        command,
        *args,
        "--target",
        "bigquery",
        "--vars",
        json.dumps(variables),
        "--quiet",
        "--log-level-file",
        "none",
    ]
    with no_network(), mock.patch.dict(os.environ):
        os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
        answer = dbtRunner().invoke([*call, *map(str, places)])
    if answer.exception is not None:
        raise answer.exception
    return answer.result


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return bigquery("parse", tmp_path_factory.mktemp("parsed"), **WINDOW, cuts=CUTS)


def test_the_project_parses_for_bigquery_without_credentials(manifest: Any) -> None:
    assert len([node for node in manifest.nodes.values() if node.resource_type == "model"]) == len(
        list(PROJECT.glob("models/*/*.sql"))
    )


def test_events_are_replaced_by_partitions_known_beforehand(manifest: Any) -> None:
    config = manifest.nodes["model.aisle.int_interactions_judged"].config
    assert config.get("incremental_strategy") == "insert_overwrite"
    assert config.get("partition_by") == {"field": "landed_on", "data_type": "date"}
    # Three days of lateness before the window of two.
    assert config.get("partitions") == [f"date '2024-05-0{day}'" for day in range(2, 7)]


def test_facts_are_replaced_by_whichever_days_the_rows_are_of(manifest: Any) -> None:
    config = manifest.nodes["model.aisle.fct_interactions"].config
    assert config.get("partition_by") == {"field": "event_date", "data_type": "date"}
    assert config.get("partitions") is None


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("compiled")
    args = ["--no-introspect", "--no-populate-cache", "--select", "resource_type:model", "resource_type:test"]
    result = bigquery("compile", folder, *args, **WINDOW, cuts=CUTS, as_of="2024-05-10")
    return {node.node.name: node.node.compiled_code for node in result.results if node.node.compiled_code}


def test_every_model_and_test_is_sql_that_bigquery_s_grammar_accepts(compiled: dict[str, str]) -> None:
    assert {path.stem for path in PROJECT.glob("models/*/*.sql")} <= set(compiled)
    for name, sql in compiled.items():
        parsed = sqlglot.parse_one(sql, read="bigquery")
        foreign = {function.name.upper() for function in parsed.find_all(exp.Anonymous)} & DUCKDB_ONLY
        assert not foreign, name
        assert "::" not in sql, name


def test_types_of_one_engine_do_not_reach_the_other(compiled: dict[str, str]) -> None:
    for name, sql in compiled.items():
        types = {str(cast.to) for cast in sqlglot.parse_one(sql, read="bigquery").find_all(exp.Cast)}
        assert types <= {"STRING", "FLOAT64", "DOUBLE", "TIMESTAMP", "TIMESTAMPTZ", "DATE", "TEXT"}, name
