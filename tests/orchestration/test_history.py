"""The faster history holds what Dagster's own would hold, and Dagster's own can read it."""

from pathlib import Path

import dagster as dg
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from orchestration.history import BatchedEventLog, batched_instance
from orchestration.partitions import RANGE_END, RANGE_START

DAYS = {RANGE_START: "2026-08-01", RANGE_END: "2026-08-20"}


def write_config(folder: Path) -> Path:
    folder.mkdir()
    (folder / "dagster.yaml").write_text(
        f"storage: {{sqlite: {{base_dir: {folder}/storage}}}}\ntelemetry: {{enabled: false}}\n"
    )
    return folder


def what_is_held(folder: Path, definitions: dg.Definitions) -> list[object]:
    """As the UI would ask for it: through Dagster's own storage."""
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        [run] = instance.get_runs()
        events = sorted(
            f"{entry.get_dagster_event().event_type_value} {entry.get_dagster_event().asset_key} {entry.get_dagster_event().partition}"
            for entry in instance.all_logs(run.run_id)
            if entry.is_dagster_event and entry.get_dagster_event().asset_key
        )
        held: list[object] = [run.status, run.tags, events]
        for key in sorted(definitions.resolve_asset_graph().get_all_asset_keys()):
            newest = instance.get_latest_materialization_event(key)
            partition = newest.get_dagster_event().partition if newest else None
            held.append((key, sorted(instance.get_materialized_partitions(key)), partition))
            [record] = instance.get_asset_records([key]) or [None]
            held.append(record.asset_entry.last_run_id == run.run_id if record else None)
        return held


def test_a_run_over_many_days_leaves_the_same_history_written_in_batches(
    tmp_path: Path, stub_definitions: dg.Definitions
) -> None:
    job = stub_definitions.resolve_job_def("train_and_release")
    plain, batched = write_config(tmp_path / "plain"), write_config(tmp_path / "batched")
    with dg.DagsterInstance.from_config(str(plain)) as instance:
        assert job.execute_in_process(instance=instance, tags=DAYS).success
    with batched_instance(batched) as instance:
        assert isinstance(instance.event_log_storage, BatchedEventLog)
        assert job.execute_in_process(instance=instance, tags=DAYS).success
    held = what_is_held(batched, stub_definitions)
    assert held == what_is_held(plain, stub_definitions)
    assert (
        dg.AssetKey(["raw", "interactions"]),
        sorted(f"2026-08-{day:02}" for day in range(1, 21)),
        "2026-08-20",
    ) in held


def test_another_storage_than_sqlite_is_left_as_it_is(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "other")
    (folder / "dagster.yaml").write_text(
        "storage: {custom: {module: tests.orchestration.test_history, class: OtherStorage, "
        f"config: {{base_dir: {folder}/storage}}}}}}\n"
    )
    with batched_instance(folder) as instance:
        assert not isinstance(instance.event_log_storage, BatchedEventLog)


class OtherStorage(DagsterSqliteStorage):
    """Stands for PostgreSQL."""
