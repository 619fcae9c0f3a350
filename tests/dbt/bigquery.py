"""The dbt project over the same raw rows on BigQuery: on the tests' local server, or on a real project (tests/live_gcp)."""

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from tests.dbt.shop import DbtHome

if TYPE_CHECKING:
    from google.cloud import bigquery

DATASETS = ("raw", "staging", "intermediate", "marts")


@dataclass(frozen=True)
class BigQueryHome(DbtHome):
    """A folder for dbt's files, and the datasets of one Google Cloud project."""

    reached_by: Mapping[str, str] = field(default_factory=dict)
    """Environment variables; they name the project, and where it is not Google's own the server."""

    target: ClassVar[str] = "bigquery"

    def replace_raw(self, tables: Mapping[str, pa.Table]) -> None:
        from google.cloud import bigquery

        with self.client() as client:
            client.create_dataset("raw", exists_ok=True)
            for name, table in tables.items():
                job = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
                job.parquet_options = bigquery.ParquetOptions.from_api_repr({"enableListInference": True})
                if "landed_on" in table.column_names:
                    job.time_partitioning = bigquery.TimePartitioning(field="landed_on")
                client.load_table_from_file(_parquet(table), f"raw.{name}", job_config=job).result()

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self.reached_by}

    def manifest(self) -> Any:
        """None: the list of partitions is settled when the project is parsed, so every command parses it."""
        return None

    def let_go(self) -> None:
        """Nothing is held: each connection is a client of its own."""

    def table(self, sql: str) -> pa.Table:
        with self.client() as client:
            return client.query_and_wait(sql).to_arrow(create_bqstorage_client=False)

    def keep_sql(self, step: str) -> None:
        """Copy what the last command ran to the folder KEEP_SQL_IN, if there is one: tools/bigquery_lint.py reads it there."""
        if "KEEP_SQL_IN" not in os.environ:
            return
        folder = Path(os.environ["KEEP_SQL_IN"])
        target = self.path / "target"
        shutil.copytree(target / "run", folder / step / "run")
        shutil.copy(target / "run_results.json", folder / step)
        with self.client() as client:
            raw = {
                f"{table.project}.{table.dataset_id}.{table.table_id}": {
                    column.name: f"ARRAY<{column.field_type}>" if column.mode == "REPEATED" else column.field_type
                    for column in client.get_table(table).schema
                }
                for table in client.list_tables("raw")
            }
        (folder / "raw.json").write_text(json.dumps(raw, indent=2))

    def estimated_bytes(self, sql: str) -> int:
        """What Google would read for the query, by its dry run: nothing is read for that and nothing is charged."""
        from google.cloud import bigquery

        with self.client() as client:
            dry = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
            return client.query(sql, job_config=dry).total_bytes_processed

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.table(sql).to_pylist()]

    @contextmanager
    def client(self) -> Iterator["bigquery.Client"]:
        from google.cloud import bigquery

        with mock.patch.dict(os.environ, self.reached_by):
            location = os.environ.get("AISLE_GCP_LOCATION", "EU")
            client = bigquery.Client(project=os.environ["AISLE_GCP_PROJECT"], location=location)
        try:
            yield client
        finally:
            client.close()


def _parquet(table: pa.Table) -> io.BytesIO:
    """Instants in UTC: those without a zone would become DATETIME."""
    utc = [
        column.with_type(pa.timestamp("us", tz="UTC")) if pa.types.is_timestamp(column.type) else column
        for column in table.schema
    ]
    file = io.BytesIO()
    pq.write_table(table.cast(pa.schema(utc)), file)
    file.seek(0)
    return file
