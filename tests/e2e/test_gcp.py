"""The whole graph on BigQuery's and Cloud Storage's protocols: raw events to a list from a service that follows the bucket, and
the same shop's tables declared in place by a second project.

Both speak to local servers; what those cannot show is in `tests/local_gcp/README.md`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.contract.columns import RAW_IMPRESSIONS, RAW_ITEMS, RAW_USERS
from ml.contract.release import POINTER, ReleasePointer
from ml.storage import store_at
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.settings import Platform, PlatformSettings
from orchestration.showcase import running_service
from tests.local_gcp import LocalGcp

pytestmark = [pytest.mark.e2e, pytest.mark.tf]

ROOT = Path(__file__).parents[2]
KEY = "a-secret-of-our-own"
LAST_DAY = "2026-06-30"


@pytest.fixture(scope="module")
def cloud(local_gcp: LocalGcp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """This process and its children find the local servers, empty at the start of the module."""
    local_gcp.reset()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_gcp.environment().items():
            patch.setenv(name, value)
        for name, value in {
            "AISLE_PLATFORM": "gcp",
            "AISLE_PSEUDONYM_KEY": KEY,
            "AISLE_MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db",
            "AISLE_SHOP_SIZE": "tiny",
            "AISLE_AS_OF": LAST_DAY,
            "AISLE_RECIPE": str(Path(__file__).with_name("quick.yaml")),
        }.items():
            patch.setenv(name, value)
        patch.delenv("DAGSTER_HOME", raising=False)
        yield patch


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """What a process said, once it has ended well."""
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, f"{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}"
    return ended.stdout


@pytest.fixture(scope="module")
def released(cloud: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001
    """What `aisle run` said."""
    return run("orchestration.cli", "run", "--home", str(tmp_path_factory.mktemp("home")))


def test_raw_events_become_a_release_that_a_service_with_an_empty_home_answers_from(
    released: str, local_gcp: LocalGcp, tmp_path: Path
) -> None:
    assert "ml/released_bundle" in released
    bucket = store_at(f"gs://{local_gcp.bucket}")
    published = bucket.read(f"releases/{POINTER}")
    assert published is not None
    version = ReleasePointer.parse(published.data, where="the bucket").version
    kept = {name.split("/")[0] for name in (stored.name for stored in bucket.list())}
    assert {"artifacts", "checkpoints", "mlflow", "releases", "reports"} <= kept

    settings = PlatformSettings(home=tmp_path / "another-machine")
    assert settings.platform is Platform.GCP
    with running_service(settings) as service:
        known = service.ask(f"/api/v1/recommendations/homepage?user_id={a_buyer(local_gcp)}&limit=5")
        stranger = service.ask("/api/v1/recommendations/homepage?user_id=nobody-yet&limit=5")
    assert known["bundle_version"] == stranger["bundle_version"] == version
    assert (known["context"]["personalised"], stranger["context"]["personalised"]) == (True, False)
    assert len(known["recommendations"]) == len(stranger["recommendations"]) == 5


def a_buyer(local_gcp: LocalGcp) -> str:
    sql = "select user_id from raw.interactions where event_type = 'purchase' and user_id is not null group by 1 order by count(*) desc, 1 limit 1"
    return str(BigQueryWarehouse(project=local_gcp.project).query(sql)["user_id"][0])


OWN = ["user_id", "item_id", "event_type", "occurred_at", "event_id", "quantity", "price", "order_id", "session_id", "request_id", "received_at"]  # fmt: skip
MARTS = {
    "marts.fct_interactions": "event_id, user_id, item_id, event_type, occurred_at, known_at, amount, event_weight",
    "marts.dim_items": "item_id, title, price, created_at, first_seen_at",
    "marts.feat_users": "cut_at, user_id, events_all, purchases_all, favourite_category",
    "intermediate.int_interactions_rejected": "user_id, item_id, occurred_at, landed_on, reason",
}


def test_a_second_project_models_the_same_tables_in_place(
    released: str,  # noqa: ARG001 - its tables are the shop's own here
    local_gcp: LocalGcp,
    tmp_path: Path,
) -> None:
    first, second = (BigQueryWarehouse(project=name) for name in (local_gcp.project, "aisle-second"))
    mapping = tmp_path / "shop.yaml"
    mapping.write_text(yaml.safe_dump(in_place(first)))
    run(
        "tests.e2e.model_days",
        environment={
            "AISLE_HOME": str(tmp_path / "home"),
            "AISLE_GCP_PROJECT": second.project,
            "AISLE_SOURCE": "bigquery",
            "AISLE_MAPPING": str(mapping),
        },
    )
    with second.client() as client:
        kept = {table.table_id for table in client.list_tables("raw") if table.table_type != "VIEW"}
    made = {"item_text_embeddings", "item_image_embeddings"}
    assert kept == made, "the tables that are no shop's: what was made of texts and pictures"
    for table, columns in MARTS.items():
        landed, declared = (rows_of(warehouse, f"select {columns} from {table}") for warehouse in (first, second))
        assert len(landed) > 100, table
        assert declared == landed, table


def in_place(warehouse: BigQueryWarehouse) -> dict[str, Any]:
    """The mapping of a shop whose tables are those another project landed."""

    def raw(name: str, columns: list[str]) -> dict[str, Any]:
        return {"table": f"{warehouse.project}.raw.{name}", "columns": {column: column for column in columns}}

    [days] = warehouse.query("select min(landed_on) as first_day from raw.interactions").to_pylist()
    impressions = [name for name in RAW_IMPRESSIONS.names if name != "landed_on"]
    return {
        "interactions": {**raw("interactions", OWN), "landed_on": "landed_on", "first_day": days["first_day"]},
        "impressions": {**raw("impressions", impressions), "landed_on": "landed_on"},
        "items": raw("items", RAW_ITEMS.names),
        "users": raw("users", RAW_USERS.names),
    }


def rows_of(warehouse: BigQueryWarehouse, sql: str) -> list[str]:
    return sorted(map(repr, warehouse.query(sql).to_pylist()))
