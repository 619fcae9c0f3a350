"""Promises about the code as a whole that no single test of a part can hold."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "tensorflow",
    "great_expectations",
    "evidently",
    "mlflow",
    "google.auth",
    "google.cloud.bigquery",
    "google.cloud.storage",
)


ASKED = f"""
import json, sys
from orchestration.definitions import defs
from orchestration.sensors import FEATURE_DRIFT
heavy = [name for name in {HEAVY} if name in sys.modules]
graph = defs.resolve_asset_graph()
nodes = [graph.get(key) for key in graph.get_all_asset_keys() if graph.get(key).is_materializable]
print(json.dumps({{
    "heavy": heavy,
    "groups": {{node.key.to_user_string(): node.group_name for node in nodes}},
    "undescribed": [node.key.to_user_string() for node in nodes if not node.description],
    "unowned": [node.key.to_user_string() for node in nodes if not node.owners],
    "jobs": sorted(job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")),
    "watched": FEATURE_DRIFT.to_user_string(),
}}))
"""
"""Asked in a process of its own: what another test has imported does not count."""


@dataclass(frozen=True)
class Graph:
    heavy: list[str]
    groups: dict[str, str]
    undescribed: list[str]
    unowned: list[str]
    jobs: list[str]
    watched: str


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "AISLE_HOME": str(home)}
    ran = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return Graph(**json.loads(ran.stdout.strip().splitlines()[-1]))


def test_importing_the_graph_loads_no_heavy_library(graph: Graph) -> None:
    """Six to seven seconds each, in the start of every run and of every page of the UI."""
    assert graph.heavy == []


def test_keys_say_where_a_thing_lives_and_groups_at_which_station_it_is_made(graph: Graph) -> None:
    stations = {"raw": {"ingest"}, "staging": {"warehouse"}, "intermediate": {"warehouse"}, "marts": {"warehouse"}}
    stations |= {"ml": {"training", "release", "experiments"}, "monitoring": {"monitoring"}}
    assert {
        key: group for key, group in graph.groups.items() if group not in stations.get(key.split("/")[0], set())
    } == {}
    assert {
        "raw/interactions", "marts/fct_interactions", "ml/training_examples", "ml/retriever", "ml/item_vectors", "ml/ann_index",
        "ml/candidate_sources", "ml/ranker", "ml/candidate_bundle", "ml/offline_report", "ml/released_bundle",
    } <= graph.groups.keys()  # fmt: skip


def test_the_drift_alarm_watches_an_asset_that_exists(graph: Graph) -> None:
    assert graph.watched in graph.groups


def test_every_asset_is_described_and_owned(graph: Graph) -> None:
    assert graph.undescribed == []
    assert graph.unowned == []


def test_every_job_resolves(graph: Graph) -> None:
    assert graph.jobs == [
        "check_drift", "compare_recipes", "refresh_index", "retrain", "search_recipes", "train_and_release",
    ]  # fmt: skip


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_download_address() -> None:
    address = re.compile(
        r"https?://[^\s\"']*(/simple\b|\.whl\b|\.tar\.gz\b|\.tgz\b)|^(--?)(extra-)?index-url|^--find-links",
        re.MULTILINE,
    )
    found = [
        path for path in tracked_files() if address.search(path.read_text(errors="ignore")) and path != Path(__file__)
    ]
    assert found == []


def test_no_tracked_file_is_large() -> None:
    assert [path for path in tracked_files() if path.stat().st_size > 1_048_576] == []
