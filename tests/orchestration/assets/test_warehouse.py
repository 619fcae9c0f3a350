"""The dbt project as Dagster sees it, and one run of it."""

from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ml.dataset.split import SplitSettings
from orchestration.assets.warehouse import FOLLOWS, event_models, feature_models
from orchestration.partitions import RANGE_END, RANGE_START, daily
from orchestration.resources.dbt import PROJECT_FOLDER, Dbt, FeatureCuts
from orchestration.settings import PlatformSettings
from tests.dbt.shop import DbtHome, event

MODELS = {path.stem: path.parent.name for path in PROJECT_FOLDER.glob("models/*/*.sql")}
HISTORY = "marts/dim_items_history"
FIRST_DAY = date.fromisoformat(daily.get_first_partition_key() or "")


def test_every_model_is_an_asset_under_its_folder() -> None:
    assert {key.to_user_string() for key in (*event_models.keys, *feature_models.keys)} == {
        *(f"{folder}/{name}" for name, folder in MODELS.items()),
        HISTORY,
    }
    assert not event_models.keys & feature_models.keys


@pytest.mark.parametrize("models", [event_models, feature_models])
def test_every_asset_tells_what_it_is_and_whose(models: dg.AssetsDefinition) -> None:
    for spec in models.specs:
        assert spec.group_name == "warehouse"
        assert spec.owners == ["team:data"]
        assert spec.description
        assert "dagster/column_schema" in spec.metadata
        assert "dagster/code_references" in spec.metadata
    assert models.node_def.pool == "warehouse"


def test_sources_are_the_landed_tables() -> None:
    upstream = {key.to_user_string() for key in (*event_models.dependency_keys, *feature_models.dependency_keys)}
    assert {key for key in upstream if key.startswith("raw/")} == {
        "raw/interactions",
        "raw/impressions",
        "raw/items",
        "raw/item_embeddings",
        "raw/item_text_embeddings",
        "raw/item_image_embeddings",
        "raw/users",
    }


def test_events_are_daily_and_a_backfill_is_one_run() -> None:
    assert event_models.partitions_def == daily
    assert event_models.backfill_policy == dg.BackfillPolicy.single_run()
    assert feature_models.partitions_def is None


def test_no_unpartitioned_model_stands_between_two_partitioned_ones() -> None:
    assert not event_models.dependency_keys & feature_models.keys


def test_a_failed_integrity_test_stops_the_run_and_a_volume_test_warns() -> None:
    blocking = {spec.name: spec.blocking for models in (event_models, feature_models) for spec in models.check_specs}
    for name in (
        "assert_every_raw_row_is_accounted_for",
        "assert_no_event_of_the_future_in_the_past",
        "assert_features_know_only_their_past",
        "unique_fct_interactions_event_id",
        "relationships_fct_interactions_item_id__item_id__ref_dim_items_",
    ):
        assert blocking[name]
    assert not blocking["recency_fct_interactions_event_date__3"]


def test_the_history_of_the_catalogue_is_written_with_the_tables_of_a_day_and_not_every_ten_minutes() -> None:
    key = dg.AssetKey.from_user_string(HISTORY)
    assert key in feature_models.keys
    assert feature_models.automation_conditions_by_key.get(key) is None


def test_the_catalogue_follows_new_items_by_itself() -> None:
    followers = {
        key.path[-1] for key, condition in feature_models.automation_conditions_by_key.items() if condition is not None
    }
    assert followers == set(FOLLOWS)


@pytest.mark.e2e
def test_a_range_of_days_then_a_day(tmp_path: Path) -> None:
    home = DbtHome(tmp_path)
    mornings = [datetime.combine(FIRST_DAY, datetime.min.time()) + timedelta(days=day, hours=8) for day in range(3)]
    events = [
        event(f"u{n % 3}", f"i{n % 4}", at + timedelta(minutes=n), "purchase") for at in mornings for n in range(20)
    ]
    home.land(events, items=[{"item_id": f"i{n}", "title": f"Item {n}"} for n in range(4)])

    # One after the other in one process: the first must not leave the file locked for the next.
    days = [str(FIRST_DAY + timedelta(days=day)) for day in range(3)]
    assert run(tmp_path, {RANGE_START: days[0], RANGE_END: days[1]}).success
    assert home.rows("select count(*) from marts.fct_interactions") == [(40,)]
    result = run(tmp_path, {"dagster/partition": days[2]})

    counts = {
        materialization.materialization.asset_key.path[-1]: materialization.materialization.metadata
        for materialization in result.get_asset_materialization_events()
    }
    assert counts["fct_interactions"]["dagster/row_count"].value == 60
    assert "dagster/column_lineage" in counts["feat_items"]
    newest = datetime.fromisoformat(days[2]) + timedelta(days=1)
    assert home.rows("select max(cut_at), count(distinct cut_at) from marts.feat_items") == [(newest, 1)]
    num_cuts = 2 + SplitSettings().ranker_weeks  # T, the test window's first instant, and the ranker's weeks
    assert home.rows("select count(*) from intermediate.int_feature_cuts") == [(num_cuts,)]
    # Two runs over the same four items: nothing became another version.
    assert home.rows("select count(*), count(dbt_valid_to) from marts.dim_items_history") == [(4, 0)]
    checks = {check.check_name for check in result.get_asset_check_evaluations()}
    assert checks == {spec.name for models in (event_models, feature_models) for spec in models.check_specs}
    assert not {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def run(home: Path, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    job = dg.define_asset_job("job", selection=dg.AssetSelection.groups("warehouse"))
    definitions = dg.Definitions(
        assets=[event_models, feature_models],
        jobs=[job],
        resources={"dbt": Dbt.of(PlatformSettings(home=home)), "feature_cuts": FeatureCuts()},
    )
    return definitions.resolve_job_def("job").execute_in_process(tags=tags)
