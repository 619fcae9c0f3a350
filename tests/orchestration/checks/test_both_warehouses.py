"""Every suite says the same of the same rows on either warehouse."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from ml.contract.columns import (
    DIM_ITEM_EMBEDDINGS,
    DIM_ITEMS,
    DIM_USERS,
    FCT_INTERACTIONS,
    FEAT_ITEMS,
    FEAT_USERS,
    RAW_ITEM_IMAGE_EMBEDDINGS,
)
from orchestration.checks.expectations import Expectations
from orchestration.checks.suites import suites_for
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.settings import Platform, PlatformSettings
from orchestration.sources.demo import DemoSource
from orchestration.sources.landing import LandedTables
from orchestration.text_embeddings import TextEmbeddings
from tests.demo_shop import AS_OF, tiny_settings
from tests.local_gcp import LocalGcp

# Great Expectations 1.24 imports them.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_.*' is deprecated:DeprecationWarning")

START = date(2026, 6, 24)


def land(warehouse: Warehouse) -> None:
    """A week of the demo shop, and marts with a fault each."""
    tables = LandedTables(DemoSource(tiny_settings(), until=AS_OF), warehouse)
    tables.interactions(START, AS_OF)
    tables.impressions(START, AS_OF)
    tables.items()
    tables.item_embeddings()
    TextEmbeddings.none().land(warehouse)
    pictures = [{"item_id": "i1"}, {"item_id": "i2", "reason": "missing_picture"}, {"item_id": "i3"}]
    warehouse.replace_table("raw", "item_image_embeddings", pa.Table.from_pylist(pictures, RAW_ITEM_IMAGE_EMBEDDINGS))
    tables.users()
    twice = [
        {"item_id": "i1", "user_id": "u1", "cut_at": datetime(2026, 7, 1), "purchases_all": 1.0, "purchases_30d": 2.0}
    ] * 2
    for name, schema in (
        ("fct_interactions", FCT_INTERACTIONS),
        ("dim_items", DIM_ITEMS),
        ("dim_item_embeddings", DIM_ITEM_EMBEDDINGS),
        ("dim_users", DIM_USERS),
        ("feat_items", FEAT_ITEMS),
        ("feat_users", FEAT_USERS),
    ):
        rows = [{key: value for key, value in row.items() if key in schema.names} for row in twice]
        warehouse.replace_table("marts", name, pa.Table.from_pylist(rows, schema))
    judged = pa.table({"name": ["text"] * 4, "reason": [None, None, "wrong_length", "duplicate"]})
    warehouse.replace_table("intermediate", "int_item_embeddings_judged", judged)
    warehouse.replace_table("intermediate", "int_interactions_rejected", pa.table({"kind": ["dirty", "out_of_scope"]}))


@pytest.fixture
def settings(tmp_path: Path, fresh_gcp: LocalGcp) -> Callable[[Platform], PlatformSettings]:
    def settings_of(platform: Platform) -> PlatformSettings:
        return PlatformSettings(
            home=tmp_path / platform,
            platform=platform,
            gcp_project=fresh_gcp.project,
            gcp_bucket=fresh_gcp.bucket,
            pseudonym_key="a-secret-of-our-own",  # type: ignore[arg-type]
            mlflow_tracking_uri="https://mlflow.example.com",
        )

    return settings_of


def test_every_suite_says_the_same_of_the_same_rows(settings: Callable[[Platform], PlatformSettings]) -> None:
    embedded, gcp = settings(Platform.EMBEDDED), settings(Platform.GCP)
    land(DuckDBWarehouse(path=str(embedded.warehouse_path)))
    land(BigQueryWarehouse(project=str(gcp.gcp_project)))
    found = {}
    for platform in (embedded, gcp):
        expectations = Expectations.of(platform)
        verdicts = expectations.verdicts(suites_for(expectations.dialect))
        found[platform.platform] = [
            (verdict.rule.name, verdict.holds, pytest.approx(verdict.value, nan_ok=True), verdict.num_rows)
            for verdict in verdicts
        ]
    assert found[Platform.GCP] == found[Platform.EMBEDDED]
    held = {holds for _, holds, *_ in found[Platform.GCP]}
    assert held == {True, False}, "a suite that only ever passes would agree too"
