"""The project parses for BigQuery without an account; that it runs there is test_bigquery.py's business."""

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.dbt.shop import CUTS, PROJECT

DAILY = {path.stem for path in PROJECT.glob("models/*/*.sql") if "daily_table(" in path.read_text()}


def parsed(folder: Path, **variables: Any) -> Any:
    from dbt.cli.main import dbtRunner

    places = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", folder, "--log-path", folder]
    call = ["parse", "--target", "bigquery", "--vars", json.dumps(variables), "--quiet", "--log-level-file", "none"]
    with mock.patch.dict(os.environ):
        os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
        answer = dbtRunner().invoke([*call, *map(str, places)])
    if answer.exception is not None:
        raise answer.exception
    return answer.result


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return parsed(tmp_path_factory.mktemp("day"), start_date="2024-05-05", end_date="2024-05-06", cuts=CUTS)


def test_the_project_parses_for_bigquery_without_credentials(manifest: Any) -> None:
    assert len([node for node in manifest.nodes.values() if node.resource_type == "model"]) == len(
        list(PROJECT.glob("models/*/*.sql"))
    )


@pytest.mark.parametrize("model", sorted(DAILY))
def test_a_window_is_a_list_of_partitions_known_beforehand(manifest: Any, model: str) -> None:
    config = manifest.nodes[f"model.aisle.{model}"].config
    assert config.get("incremental_strategy") == "insert_overwrite"
    assert config.get("partition_by") == {"field": "landed_on", "data_type": "date"}
    # Three days of lateness before the window of two.
    assert config.get("partitions") == [f"date '2024-05-0{day}'" for day in range(2, 7)]
    assert not config.full_refresh


def test_without_a_window_a_table_of_days_is_made_anew(tmp_path: Path) -> None:
    """Else dbt would look for the days by itself, and keep those the shop no longer has."""
    nodes = parsed(tmp_path).nodes
    assert all(nodes[f"model.aisle.{model}"].config.full_refresh is True for model in DAILY)


def test_half_a_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"`start_date` and `end_date` go together. Received: 2024-05-05 and None"):
        parsed(tmp_path, start_date="2024-05-05")
