"""Dagster without a shop: stub assets, an instance that lives in memory; and an empty warehouse of either platform."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.automation import follow_changes
from orchestration.jobs import JOBS
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.schedules import SCHEDULES
from orchestration.sensors import on_drift_alarm, on_run_failure
from tests.orchestration.stub_shop import StubShop, stub_assets


@pytest.fixture
def shop() -> StubShop:
    return StubShop()


@pytest.fixture
def stub_definitions(shop: StubShop) -> dg.Definitions:
    @dg.asset_check(asset=["marts", "dim_items"], blocking=True)
    def catalogue_is_whole() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=shop.catalogue_is_whole)

    return dg.Definitions(
        assets=stub_assets(shop),
        asset_checks=[catalogue_is_whole],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[on_drift_alarm, on_run_failure, follow_changes],
        executor=dg.in_process_executor,
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Each platform's warehouse in turn."""
    if request.param == "duckdb":
        return DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    return BigQueryWarehouse(project=request.getfixturevalue("fresh_gcp").project)
