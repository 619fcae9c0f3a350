"""The drift report as an asset, on a warehouse with only the two tables it reads."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from ml.contract.columns import DIM_ITEMS, FCT_INTERACTIONS
from ml.contract.manifest import BundleFacts, Manifest, file_entry
from ml.drift import WATCHED, DriftSnapshot
from ml.release import publish
from orchestration.assets import monitoring
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from tests.ml.drift.shop_weeks import MONDAY, interactions, items

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

END_OF_TRAINING = MONDAY + timedelta(days=28)
LAST_DAY: date = (END_OF_TRAINING + timedelta(days=6)).date()


def filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with every column of the schema, null where it had none."""
    columns = [table[name] if name in table.column_names else pa.nulls(len(table)) for name in schema.names]
    return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)


def land(warehouse: DuckDBWarehouse, *, price_factor: float) -> None:
    past = interactions(days=28)
    live = interactions(days=7, start=END_OF_TRAINING, seed=2, price_factor=price_factor)
    with warehouse.connect() as connection:
        events = pa.concat_tables([past, live])
        landed = events.append_column("landed_on", events["occurred_at"].cast(pa.date32(), safe=False))
        connection.register("events", filled(landed, FCT_INTERACTIONS))
        connection.register("catalogue", filled(items(), DIM_ITEMS))
        for statement in (
            "create schema marts",
            "create table marts.fct_interactions as from events",
            "create table marts.dim_items as from catalogue",
        ):
            connection.execute(statement).fetchall()


def release_champion(home: Path) -> None:
    bundle = home / "candidate"
    bundle.mkdir()
    DriftSnapshot.of(interactions(days=28), items(), data_start_at=MONDAY, cut_at=END_OF_TRAINING).save(bundle)
    facts = BundleFacts(
        cut_at=END_OF_TRAINING,
        data_start_at=MONDAY,
        created_at=datetime(2026, 6, 29, 4, tzinfo=UTC),
        code_version="0.1.0",
        num_items=60,
        num_users=400,
        dimension=4,
        index_kind="exact",
        index_recall=1.0,
    )
    Manifest.of(facts, {path.name: file_entry(path) for path in bundle.iterdir()}).write(bundle)
    publish(bundle, releases=home / "releases", now=datetime(2026, 6, 29, 5, tzinfo=UTC))


def watch(home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    monkeypatch.setattr(monitoring, "cut_of", lambda _context: END_OF_TRAINING + timedelta(days=7))
    return dg.materialize(
        dg.load_assets_from_modules([monitoring], key_prefix="monitoring"),
        instance=instance,
        resources={
            "warehouse": DuckDBWarehouse(path=str(home / "warehouse.duckdb")),
            "releases": ReleaseStore(home=str(home)),
            "reports": ReportFolder(path=str(home / "reports")),
        },
    )


@pytest.mark.parametrize(("price_factor", "drifted"), [(1.0, []), (1.8, ["price"])])
def test_planted_drift_trips_the_check_and_an_undrifted_week_does_not(
    tmp_path: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    price_factor: float,
    drifted: list[str],
) -> None:
    land(DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb")), price_factor=price_factor)
    release_champion(tmp_path)
    result = watch(tmp_path, instance, monkeypatch)

    [check] = result.get_asset_check_evaluations()
    assert check.passed is not bool(drifted)
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["drifted"].value == (", ".join(drifted) or "none")
    [event] = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert event.asset_key == monitoring.FEATURE_DRIFT
    psi = {name: metadata[f"psi/{name}"].value for name in WATCHED}
    assert metadata["psi_max"].value == max(psi.values()) == check.metadata["psi_max"].value
    assert [name for name, value in psi.items() if value > 0.2] == drifted
    assert f"Drift score: {round(psi['price'], 3)}" in Path(metadata["page"].value).read_text()


def test_before_the_first_release_there_is_nothing_to_drift_from(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = watch(tmp_path, instance, monkeypatch)
    assert result.success
    [check] = result.get_asset_check_evaluations()
    assert check.metadata["champion"].value == "none yet, so there is nothing to drift away from"
    assert not result.get_asset_materialization_events()
