"""Schedules, sensors and conditions, driven tick by tick on an instance that lives in memory."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from orchestration.jobs import RETRAIN_TAG
from orchestration.partitions import RANGE_END, RANGE_START
from orchestration.sensors import COOL_DOWN
from tests.orchestration.stub_shop import StubShop

AT_FIVE = datetime(2026, 9, 30, 5, 1, tzinfo=UTC)


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, **kwargs: object
) -> dg.ExecuteInProcessResult:
    job_def = definitions.resolve_job_def(job)
    return job_def.execute_in_process(instance=instance, raise_on_error=False, **kwargs)  # type: ignore[arg-type]


def test_one_run_of_one_day_reaches_from_raw_events_to_the_release(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    assert run(stub_definitions, instance, "train_and_release", partition_key="2026-09-29").success
    assert len(shop.ran) == 18
    assert shop.windows["marts/fct_interactions"] == ("2026-09-29", "2026-09-30")


def test_one_run_of_many_days_gives_partitioned_assets_the_whole_window(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    days = {RANGE_START: "2026-08-01", RANGE_END: "2026-09-29"}
    assert run(stub_definitions, instance, "train_and_release", tags=days).success
    assert len(shop.ran) == 18
    assert set(shop.windows.values()) == {("2026-08-01", "2026-09-30")}
    landed = instance.get_materialized_partitions(dg.AssetKey(["raw", "interactions"]))
    assert len(landed) == 31 + 29


def test_retraining_touches_no_raw_table(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    run(stub_definitions, instance, "train_and_release", partition_key="2026-09-29")
    shop.ran.clear()
    assert run(stub_definitions, instance, "retrain").success
    assert shop.ran[0] == "ml/training_examples"
    assert shop.ran[-1] == "ml/released_bundle"


def test_a_lost_contest_is_a_run_that_succeeded_without_a_release(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    shop.champion_is_beaten = False
    result = run(stub_definitions, instance, "train_and_release", partition_key="2026-09-29")
    released = dg.AssetKey(["ml", "released_bundle"])
    assert result.success
    assert released not in {event.asset_key for event in result.get_asset_materialization_events()}


def test_the_daily_schedule_asks_for_yesterday(stub_definitions: dg.Definitions) -> None:
    schedule = stub_definitions.resolve_schedule_def("train_and_release_daily")
    tick = schedule.evaluate_tick(
        dg.build_schedule_context(
            scheduled_execution_time=datetime(2026, 9, 30, 4, tzinfo=UTC),
            repository_def=stub_definitions.get_repository_def(),
        )
    )
    assert schedule.cron_schedule == "0 4 * * *"
    assert [request.partition_key for request in tick.run_requests or []] == ["2026-09-29"]


def tick_alarm(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    sensor = definitions.resolve_sensor_def("on_drift_alarm")
    context = dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=definitions.get_repository_def())
    return sensor.evaluate_tick(context)  # type: ignore[return-value]


def test_drift_starts_one_retraining_per_report(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    shop.psi_max = 0.35
    report = run(stub_definitions, instance, "check_drift")
    alarm = tick_alarm(stub_definitions, instance)
    again = tick_alarm(stub_definitions, instance, cursor=alarm.cursor)
    [request] = alarm.run_requests or []
    assert request.run_key == f"drift-{report.run_id}"
    assert request.job_name in (None, "retrain")
    assert request.tags["aisle/psi_max"] == "0.350"
    assert not again.run_requests


def test_an_undrifted_week_starts_nothing(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    shop.psi_max = 0.2
    run(stub_definitions, instance, "check_drift")
    alarm = tick_alarm(stub_definitions, instance)
    assert not alarm.run_requests
    assert "0.200" in (alarm.skip_message or "")  # type: ignore[attr-defined]


@pytest.mark.parametrize("job", ["retrain", "train_and_release"])
def test_a_training_that_began_lately_holds_the_alarm_back(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop, job: str
) -> None:
    run(stub_definitions, instance, "train_and_release", partition_key="2026-09-29")
    if job == "retrain":
        forget_runs(instance)
        run(stub_definitions, instance, "retrain")
    shop.psi_max = 0.35
    run(stub_definitions, instance, "check_drift")
    alarm = tick_alarm(stub_definitions, instance)
    assert not alarm.run_requests
    assert "a training began" in (alarm.skip_message or "")  # type: ignore[attr-defined]


def test_after_the_cool_down_the_alarm_sounds_again(
    stub_definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    shop: StubShop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(stub_definitions, instance, "train_and_release", partition_key="2026-09-29")
    shop.psi_max = 0.35
    run(stub_definitions, instance, "check_drift")
    later = datetime.now(UTC) + COOL_DOWN + timedelta(minutes=1)
    monkeypatch.setattr("orchestration.sensors.utc_now", lambda: later)
    assert len(tick_alarm(stub_definitions, instance).run_requests or []) == 1


def test_a_failed_run_is_said_aloud(
    stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop, capfd: pytest.CaptureFixture[str]
) -> None:
    shop.fails = "ml/ranker"
    result = run(stub_definitions, instance, "retrain")
    failure = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    context = dg.build_run_status_sensor_context(
        sensor_name="on_run_failure", dagster_event=failure, dagster_instance=instance, dagster_run=result.dagster_run
    ).for_run_failure()
    sensor = stub_definitions.resolve_sensor_def("on_run_failure")
    capfd.readouterr()
    sensor(context)
    assert f"Run {result.run_id} of retrain failed" in capfd.readouterr().err


class Ticks:
    """Evaluates all automation conditions, a minute later each time."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance, self.now = definitions, instance, AT_FIVE
        self.last: dg.EvaluateAutomationConditionsResult | None = None

    def next(self, *, minutes: int = 1) -> set[str]:
        """Keys requested by this tick."""
        self.now += timedelta(minutes=minutes)
        self.last = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            asset_selection=dg.AssetSelection.all(),
            evaluation_time=self.now,
            cursor=self.last.cursor if self.last else None,
        )
        return {result.key.to_user_string() for result in self.last.results if self.last.get_num_requested(result.key)}

    def materialise(self, *keys: str) -> None:
        wanted = [dg.AssetKey(key.split("/")) for key in keys]
        assets = [asset for asset in self.definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
        dg.materialize(assets, instance=self.instance, selection=wanted)


@pytest.fixture
def ticks(stub_definitions: dg.Definitions, instance: dg.DagsterInstance) -> Ticks:
    """After one daily run and two ticks that find nothing new."""
    ticks = Ticks(stub_definitions, instance)
    ticks.next()
    assert run(stub_definitions, instance, "train_and_release", partition_key="2026-09-29").success
    ticks.next()
    return ticks


CATALOGUE = {"staging/stg_shop__items", "marts/dim_items", "ml/item_vectors", "ml/ann_index"}


def test_the_daily_run_leaves_nothing_for_automation_to_do(ticks: Ticks) -> None:
    assert ticks.next() == set()


def test_a_retraining_leaves_nothing_for_automation_to_do(
    ticks: Ticks, stub_definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    run(stub_definitions, instance, "retrain")
    assert ticks.next() == set()


def test_items_are_read_every_ten_minutes(ticks: Ticks) -> None:
    assert "raw/items" in ticks.next(minutes=10)


def test_an_unchanged_catalogue_starts_nothing(ticks: Ticks) -> None:
    ticks.materialise("raw/items")
    assert ticks.next() == set()


def test_a_new_item_gets_its_vector_and_a_new_index_in_one_tick(ticks: Ticks, shop: StubShop) -> None:
    shop.items_version = "v2"
    ticks.materialise("raw/items")
    assert ticks.next() == CATALOGUE
    ticks.materialise(*CATALOGUE)
    assert ticks.next() == set()


def test_new_towers_alone_bring_new_vectors(ticks: Ticks) -> None:
    ticks.materialise("ml/retriever")
    assert ticks.next() == {"ml/item_vectors", "ml/ann_index"}


def test_vectors_do_not_follow_a_catalogue_that_failed_its_check(
    ticks: Ticks, stub_definitions: dg.Definitions, instance: dg.DagsterInstance, shop: StubShop
) -> None:
    shop.catalogue_is_whole = False
    only_items = dg.AssetSelection.assets(["marts", "dim_items"])
    stub_definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=only_items.resolve(stub_definitions.resolve_asset_graph()),
        asset_check_selection=None,
    ).execute_in_process(instance=instance, raise_on_error=False)
    assert ticks.next() == set()


def forget_runs(instance: dg.DagsterInstance) -> None:
    for record in instance.get_run_records(dg.RunsFilter(tags={RETRAIN_TAG: "true"})):
        instance.delete_run(record.dagster_run.run_id)
