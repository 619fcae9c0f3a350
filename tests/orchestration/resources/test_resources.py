"""One variable chooses the platform; what it lacks is said at the start."""

import runpy
from pathlib import Path

import dagster as dg
import pytest

from ml.contract.errors import PlatformError
from orchestration.assets import ingest, training
from orchestration.resources import google, resources_for, warehouse_of
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.settings import Platform, PlatformSettings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PlatformSettings.model_fields:
        monkeypatch.delenv(f"AISLE_{name.upper()}", raising=False)


def on_gcp(home: Path, **changes: str) -> PlatformSettings:
    return PlatformSettings(
        home=home,
        platform=Platform.GCP,
        gcp_project="shop",
        gcp_bucket="shop-state",
        pseudonym_key="a-secret-of-our-own",
        mlflow_tracking_uri="postgresql://mlflow:secret@db/mlflow",
        **changes,  # type: ignore[arg-type]
    )


def test_everything_of_the_embedded_platform_is_in_its_home(tmp_path: Path):
    found = resources_for(PlatformSettings(home=tmp_path))
    assert found["warehouse"] == DuckDBWarehouse(path=f"{tmp_path}/warehouse.duckdb")
    assert found["expectations"].url == f"duckdb+buffered:///{tmp_path}/warehouse.duckdb"
    assert found["dbt"].target == "duckdb"
    assert found["io_manager"].root == f"{tmp_path}/artifacts"
    assert (found["releases"].remote, found["reports"].remote, found["recipe"].checkpoint_store) == (None, None, None)


@pytest.mark.usefixtures("fresh_gcp")
def test_all_that_machines_share_on_the_cloud_is_in_the_project_and_the_bucket(tmp_path: Path):
    found = resources_for(on_gcp(tmp_path, gcp_location="europe-west3"))
    assert found["warehouse"] == BigQueryWarehouse(project="shop", location="europe-west3")
    assert found["expectations"].url == "bigquery://shop?location=europe-west3"
    assert (found["dbt"].target, found["dbt"].gcp_project, found["dbt"].gcp_location) == (
        "bigquery",
        "shop",
        "europe-west3",
    )
    assert found["io_manager"].root == "gs://shop-state/artifacts"
    assert found["io_manager"].cache == f"{tmp_path}/cache/artifacts"
    assert found["reports"].remote == "gs://shop-state/reports"
    assert found["recipe"].checkpoint_store == "gs://shop-state/checkpoints"
    releases = found["releases"]
    assert (releases.remote, releases.mlflow_artifacts) == ("gs://shop-state/releases", "gs://shop-state/mlflow")
    assert ReleaseStore.of(on_gcp(tmp_path)).tracking_uri == "postgresql://mlflow:secret@db/mlflow"


def test_missing_credentials_are_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(
        PlatformError, match=r"needs application default credentials\. Received: .*nowhere\.json.* Set GOOGLE_APPL"
    ):
        warehouse_of(on_gcp(tmp_path))


def test_missing_clients_are_said_at_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(google, "_is_there", lambda module: module == "google.auth")
    with pytest.raises(
        PlatformError, match=r"Received: no google\.cloud\.bigquery, google\.cloud\.storage\. Install `aisle\[gcp\]`"
    ):
        google.require_google()


def test_a_module_of_an_absent_package_is_not_there():
    assert not google._is_there("no_such_package.at_all")
    assert google._is_there("google.cloud.bigquery")


@pytest.mark.parametrize(("platform", "holds"), [("embedded", "duckdb"), ("gcp", "bigquery")])
def test_the_graph_says_what_holds_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, holds: str
):
    for name, value in (
        on_gcp(tmp_path).model_dump(include={"gcp_project", "gcp_bucket", "mlflow_tracking_uri"}).items()
    ):
        monkeypatch.setenv(f"AISLE_{name.upper()}", value)
    monkeypatch.setenv("AISLE_PSEUDONYM_KEY", "a-secret-of-our-own")
    monkeypatch.setenv("AISLE_PLATFORM", platform)
    kinds = {}
    for module in (ingest, training):  # once more, and not in place of what other tests hold
        again = runpy.run_path(str(module.__file__))
        found = [value for value in again.values() if isinstance(value, dg.AssetsDefinition)]
        kinds |= {spec.key.path[-1]: spec.kinds for assets in found for spec in assets.specs}
    assert {name for name, of in kinds.items() if holds in of} == {
        "interactions", "impressions", "items", "item_embeddings", "item_text_embeddings", "item_image_embeddings",
        "users", "training_examples",
    }  # fmt: skip
    assert all(not {"duckdb", "bigquery"} - {holds} & of for of in kinds.values())


def test_the_address_of_the_registry_is_configured_by_name_too(tmp_path: Path):
    of_server = resources_for(
        PlatformSettings(home=tmp_path, mlflow_tracking_uri="postgresql://mlflow:secret@db/mlflow")
    )
    assert "secret" not in repr(of_server["releases"])
    assert of_server["releases"].tracking_uri == dg.EnvVar("AISLE_MLFLOW_TRACKING_URI")
    assert resources_for(PlatformSettings(home=tmp_path))["releases"].tracking_uri is None


def test_the_address_of_the_log_is_configured_by_name_because_the_ui_shows_configuration(tmp_path: Path):
    of_file = resources_for(PlatformSettings(home=tmp_path))["source"]
    assert of_file.feedback == f"sqlite:///{tmp_path}/feedback.db"
    of_server = resources_for(PlatformSettings(home=tmp_path, feedback_url="postgresql://aisle:secret@db/feedback"))
    assert "secret" not in repr(of_server["source"])
    assert of_server["source"].feedback == dg.EnvVar("AISLE_FEEDBACK_URL")
