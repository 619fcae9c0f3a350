"""The programs of `make dev` look where the platform keeps things."""

from pathlib import Path

import pytest

from orchestration.development import Ports, programs
from orchestration.settings import Platform, PlatformSettings


def test_on_one_machine_everything_is_in_the_home(tmp_path: Path) -> None:
    dagster, service, mlflow = programs(PlatformSettings(home=tmp_path, platform=Platform.EMBEDDED), Ports())
    assert dagster.environment["AISLE_HOME"] == str(tmp_path)
    assert "AISLE_RELEASES" not in service.environment
    assert mlflow.environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path}/mlflow.db"


def test_no_argument_of_a_program_holds_the_password_of_a_database(tmp_path: Path) -> None:
    """Everybody on a machine may read arguments."""
    address = "postgresql://mlflow:of-mlflow@db/mlflow"
    settings = PlatformSettings(home=tmp_path, platform=Platform.EMBEDDED, mlflow_tracking_uri=address)
    started = programs(settings, Ports())
    assert started[-1].environment["MLFLOW_BACKEND_STORE_URI"] == address
    assert not [argument for program in started for argument in program.command if "of-mlflow" in argument]


def test_one_is_told_where_to_look() -> None:
    addresses = Ports(service_port=8100, dagster_port=3100).addresses()
    assert addresses["console"] == "http://127.0.0.1:8100/console"
    assert addresses["dagster"] == "http://127.0.0.1:3100"


def test_on_the_cloud_the_service_follows_the_bucket_and_a_server_elsewhere_keeps_its_pages(tmp_path: Path) -> None:
    settings = PlatformSettings(
        home=tmp_path,
        platform=Platform.GCP,
        gcp_project="shop",
        gcp_bucket="shop-state",
        pseudonym_key="a-secret-of-our-own",  # type: ignore[arg-type]
        mlflow_tracking_uri="https://mlflow.example.com",
    )
    _dagster, service = programs(settings, Ports())
    assert service.environment["AISLE_RELEASES"] == "gs://shop-state/releases"


def test_whoever_says_where_releases_are_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_RELEASES", str(tmp_path / "elsewhere"))
    settings = PlatformSettings(
        home=tmp_path,
        platform=Platform.GCP,
        gcp_project="shop",
        gcp_bucket="shop-state",
        mlflow_tracking_uri="https://mlflow.example",
        pseudonym_key="a-secret-of-our-own",  # type: ignore[arg-type]
    )
    service = next(program for program in programs(settings, Ports()) if program.name == "service")
    assert "AISLE_RELEASES" not in service.environment, "what the process has is handed on"
