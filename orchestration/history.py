"""Dagster's own SQLite history, written faster by a run over many days.

Such a run notes one event per asset and day twice: planned, and done. Dagster 1.13 opens, commits and closes two databases for
each: 2,500 events of a demo cost 30 to 60 seconds. Its log is able to write batches; its SQLite storage takes them one by one.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import ASSET_EVENTS
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import CursorResult

BATCH_SIZE = 500


class BatchedEventLog(SqliteEventLogStorage):
    """The same tables and rows as its parent's, a batch in one transaction per database."""

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        of_assets = [event for event in events if event.dagster_event_type in ASSET_EVENTS]
        rows = [self.prepare_insert_event(event) for event in of_assets]
        if rows:
            with self.run_connection(of_assets[0].run_id) as connection:
                for row in rows:
                    connection.execute(row)
            with self.index_transaction() as connection:
                ids = [_id_of(connection.execute(row)) for row in rows]
                self._store_asset_event_tags(connection, of_assets, ids)
                # The table of assets keeps the newest event of each: the ones before it need not be written.
                newest = {event.get_dagster_event().asset_key: place for place, event in enumerate(of_assets)}
                for place in newest.values():
                    self._store_asset_event(connection, of_assets[place], ids[place])
        for event in events:
            if event.dagster_event_type not in ASSET_EVENTS:
                self.store_event(event)


def _id_of(inserted: CursorResult[Any]) -> int:
    [number] = inserted.inserted_primary_key or (None,)
    assert isinstance(number, int)  # SQLite always says which row it wrote
    return number


class BatchedSqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with that event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchedEventLog(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "BatchedSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)


@contextmanager
def batched_instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that `dagster.yaml` in this folder describes, when it describes SQLite; any other just as described."""
    described = InstanceRef.from_dir(str(dagster_home))
    storage = described.storage_data
    if storage is None or storage.class_name != DagsterSqliteStorage.__name__:
        with dg.DagsterInstance.from_ref(described) as instance:
            yield instance
        return
    ours = {
        "module": __name__,
        "class": BatchedSqliteStorage.__name__,
        "config": storage.config_dict,
    }
    reference = InstanceRef.from_dir(str(dagster_home), overrides={"storage": {"custom": ours}})
    before = os.environ.get("DAGSTER_EVENT_BATCH_SIZE")
    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = str(BATCH_SIZE)
    try:
        with dg.DagsterInstance.from_ref(reference) as instance:
            yield instance
    finally:
        if before is None:
            del os.environ["DAGSTER_EVENT_BATCH_SIZE"]
        else:
            os.environ["DAGSTER_EVENT_BATCH_SIZE"] = before
