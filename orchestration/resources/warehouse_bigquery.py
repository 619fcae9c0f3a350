"""The tables of the cloud platform: the datasets of one Google Cloud project."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ml.contract.errors import ContractError, PlatformError
from orchestration.dialect import SqlDialect
from orchestration.resources.warehouse import BATCH_ROWS, Parameter, Warehouse, checked_days

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, LoadJobConfig, QueryJobConfig, SchemaField, Table
    from google.cloud.bigquery.table import RowIterator
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

STORAGE_HOST = "BIGQUERY_STORAGE_EMULATOR_HOST"
"""`host:port` of a local server that speaks the Storage Read protocol. Google's client has such a variable for REST alone."""
STAGING_LIVES = timedelta(hours=6)
"""What a killed run leaves behind is gone after this."""


class BigQueryWarehouse(Warehouse):
    """One project. Schemas are its datasets, made where they are missing. Credentials are the application default ones.

    A client is made for each use and closed after it.
    """

    dialect: ClassVar[SqlDialect] = "bigquery"

    project: str = Field(description="Holds the tables and pays for the queries.")
    location: str = Field(default="EU", description="Of datasets that are made, and of jobs.")

    def query(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.Table:
        with self._answer(sql, parameters) as rows, _reader() as reader:
            return without_zones(rows.to_arrow(bqstorage_client=reader))

    def batches(
        self, sql: str, parameters: Sequence[Parameter] = (), *, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        with self._answer(sql, parameters) as answer, _reader() as reader:
            for batch in answer.to_arrow_iterable(bqstorage_client=reader):
                yield from without_zones(pa.Table.from_batches([batch])).to_batches(max_chunksize=rows)

    def execute(self, sql: str, parameters: Sequence[Parameter] = ()) -> None:
        with self._answer(sql, parameters):
            pass

    def table_exists(self, schema: str, name: str) -> bool:
        with self.client() as client:
            return _found(client, f"{self.project}.{schema}.{name}") is not None

    def replace_table(self, schema: str, name: str, rows: pa.Table) -> None:
        target = f"{self.project}.{schema}.{name}"
        with self.client() as client:
            self._make_dataset(client, schema)
            _refuse_view(client, target)
            if len(rows):
                _load(client, target, rows.schema, iter([rows]), disposition="WRITE_TRUNCATE")
            else:
                columns = ", ".join(f"`{field.name}` {_sql_type(field.type)}" for field in rows.schema)
                client.query_and_wait(f"create or replace table `{target}` ({columns})")

    def replace_days(
        self,
        schema: str,
        name: str,
        tables: Iterator[pa.Table],
        shape: pa.Schema,
        *,
        day: str,
        start: date,
        end: date,
        cluster_by: Sequence[str] = (),
    ) -> None:
        target = f"{self.project}.{schema}.{name}"
        checked = (checked_days(rows.cast(shape), day=day, start=start, end=end) for rows in tables)
        with self.client() as client:
            self._make_dataset(client, schema)
            _refuse_view(client, target)
            with _staging(client, target, shape) as staging:
                _load(client, staging, shape, checked, disposition="WRITE_APPEND")
                client.create_table(_daily_table(target, shape, day=day, cluster_by=cluster_by), exists_ok=True)
                # One statement: a reader sees the old days or the new ones. A condition that never holds lets BigQuery
                # prune: only the partitions of the window are read and written.
                names = ", ".join(f"`{column}`" for column in shape.names)
                client.query_and_wait(
                    f"merge `{target}` as kept using `{staging}` as fresh on false "
                    f"when not matched by source and kept.`{day}` between date '{start}' and date '{end}' then delete "
                    f"when not matched by target then insert ({names}) values ({names})"
                )

    def export(self, sql: str, uri: str) -> list[str]:
        if not uri.startswith("gs://"):
            raise ContractError(f"BigQuery exports to gs://bucket/folder. Received: {uri}. Name one.")
        folder = uri.rstrip("/").replace("'", "\\'")
        if parts := self._parquet_files(uri):
            raise ContractError(
                f"An export needs an empty or new folder. Received: {uri}, which holds {parts[0]}. Name another."
            )
        options = f"uri = '{folder}/part-*.parquet', format = 'PARQUET', compression = 'ZSTD', overwrite = false"
        self.execute(f"export data options ({options}) as {sql}")
        return self._parquet_files(uri)

    def declare_view(self, schema: str, name: str, sql: str) -> None:
        """The view shows what the query finds. It is made where it is missing.

        Raises:
            PlatformError: a table of that name holds rows.
        """
        target = f"{self.project}.{schema}.{name}"
        with self.client() as client:
            self._make_dataset(client, schema)
            found = _found(client, target)
            if found is not None and found.table_type != "VIEW":
                raise PlatformError(
                    f"{target} must be a view over the shop's own table. Received: a {found.table_type}, which rows of another "
                    "source were landed in. Delete it, or set AISLE_SOURCE to that source."
                )
            client.query_and_wait(f"create or replace view `{target}` as {sql}")

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """Google's client for this project.

        Raises:
            PlatformError: Aisle's Google Cloud packages are not installed.
        """
        try:
            from google.cloud import bigquery
        except ImportError as error:
            raise PlatformError(
                f"AISLE_PLATFORM=gcp needs Google's clients. Received: {error}. Install `aisle[gcp]`."
            ) from error
        with closing(bigquery.Client(project=self.project, location=self.location)) as client:
            yield client

    @contextmanager
    def _answer(self, sql: str, parameters: Sequence[Parameter]) -> Iterator["RowIterator"]:
        with self.client() as client:
            yield client.query_and_wait(sql, job_config=_positional(parameters))

    def _make_dataset(self, client: "Client", schema: str) -> None:
        from google.cloud.bigquery import Dataset

        dataset = Dataset(f"{self.project}.{schema}")
        dataset.location = self.location
        client.create_dataset(dataset, exists_ok=True)

    def _parquet_files(self, uri: str) -> list[str]:
        from google.cloud import storage

        bucket, _, folder = uri.removeprefix("gs://").partition("/")
        with closing(storage.Client(project=self.project)) as client:
            names = [blob.name for blob in client.list_blobs(bucket, prefix=f"{folder.rstrip('/')}/")]
        return [f"gs://{bucket}/{name}" for name in sorted(names)]


def without_zones(table: pa.Table) -> pa.Table:
    """The same instants without a zone, as the contract stores them: BigQuery's are UTC and say so."""
    naive = [
        pa.field(field.name, pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(naive))


def schema_of(shape: pa.Schema) -> list["SchemaField"]:
    """BigQuery's columns for a table of the contract."""
    from google.cloud.bigquery import SchemaField

    return [
        SchemaField(field.name, _type_name(field.type.value_type), "REPEATED")
        if pa.types.is_list(field.type)
        else SchemaField(field.name, _type_name(field.type))
        for field in shape
    ]


def _sql_type(kind: pa.DataType) -> str:
    return f"ARRAY<{_type_name(kind.value_type)}>" if pa.types.is_list(kind) else _type_name(kind)


def _type_name(kind: pa.DataType) -> str:
    names = {
        pa.string(): "STRING",
        pa.float64(): "FLOAT64",
        pa.int64(): "INT64",
        pa.int32(): "INT64",
        pa.bool_(): "BOOL",
        pa.date32(): "DATE",
        pa.timestamp("us"): "TIMESTAMP",
    }
    if kind not in names:
        raise ContractError(
            f"A column must be of a type of the contract: {', '.join(map(str, names))}. Received: {kind}."
        )
    return names[kind]


def _positional(parameters: Sequence[Parameter]) -> "QueryJobConfig":
    from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

    values = [ScalarQueryParameter(None, *_typed(value)) for value in parameters]
    return QueryJobConfig(query_parameters=values)


def _typed(value: Parameter) -> tuple[str, Parameter]:
    match value:
        case bool():
            return "BOOL", value
        case int():
            return "INT64", value
        case float():
            return "FLOAT64", value
        case datetime():
            return "TIMESTAMP", value if value.tzinfo else value.replace(tzinfo=UTC)
        case date():
            return "DATE", value
        case _:
            return "STRING", value


@contextmanager
def _reader() -> Iterator["BigQueryReadClient"]:
    """Reads results as Arrow streams."""
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

    reader = BigQueryReadClient(transport=_local_transport())
    try:
        yield reader
    finally:
        reader.transport.close()


def _local_transport() -> "BigQueryReadGrpcTransport | None":
    """A connection to the local server; None where there is none, which means Google's."""
    host = os.environ.get(STORAGE_HOST)
    if host is None:
        return None
    import grpc  # type: ignore[import-untyped]
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    unlimited = [("grpc.max_receive_message_length", -1)]
    return BigQueryReadGrpcTransport(channel=grpc.insecure_channel(host, options=unlimited))


def _found(client: "Client", table: str) -> "Table | None":
    from google.api_core.exceptions import NotFound

    try:
        return client.get_table(table)
    except NotFound:
        return None


def _refuse_view(client: "Client", table: str) -> None:
    found = _found(client, table)
    if found is not None and found.table_type != "TABLE":
        raise PlatformError(
            f"{table} must be a table to be written to. Received: a {found.table_type}, which declares tables of the shop in "
            "place. Delete it, or set AISLE_SOURCE=bigquery."
        )


@contextmanager
def _staging(client: "Client", target: str, shape: pa.Schema) -> Iterator[str]:
    """An empty table beside the target, deleted at the end."""
    from google.cloud.bigquery import Table

    name = f"{target}__landing_{uuid.uuid4().hex[:12]}"
    staging = Table(name, schema_of(shape))
    staging.expires = datetime.now(UTC) + STAGING_LIVES
    client.create_table(staging)
    try:
        yield name
    finally:
        client.delete_table(name, not_found_ok=True)


def _daily_table(name: str, shape: pa.Schema, *, day: str, cluster_by: Sequence[str]) -> "Table":
    from google.cloud.bigquery import Table, TimePartitioning

    table = Table(name, schema_of(shape))
    table.time_partitioning = TimePartitioning(field=day)
    if cluster_by:
        table.clustering_fields = list(cluster_by)
    return table


def _load(client: "Client", table: str, shape: pa.Schema, pieces: Iterator[pa.Table], *, disposition: str) -> None:
    """One load job, whatever the number of pieces: BigQuery counts jobs a table and day. No rows, no job."""
    pieces = (piece for piece in pieces if len(piece))
    first = next(pieces, None)
    if first is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.parquet")
        zoned = _with_zones(shape)
        with pq.ParquetWriter(path, zoned, compression="zstd") as writer:
            for piece in chain([first], pieces):
                writer.write_table(piece.cast(shape).cast(zoned), row_group_size=BATCH_ROWS)
        with path.open("rb") as file:
            client.load_table_from_file(file, table, job_config=_parquet_job(shape, disposition)).result()


def _with_zones(shape: pa.Schema) -> pa.Schema:
    """Of instants without a zone BigQuery would make DATETIME."""
    zoned = pa.timestamp("us", tz="UTC")
    return pa.schema([field.with_type(zoned) if pa.types.is_timestamp(field.type) else field for field in shape])


def _parquet_job(shape: pa.Schema, disposition: str) -> "LoadJobConfig":
    from google.cloud.bigquery import LoadJobConfig, ParquetOptions, SourceFormat

    config = LoadJobConfig(source_format=SourceFormat.PARQUET, schema=schema_of(shape), write_disposition=disposition)
    if any(pa.types.is_list(kind) for kind in shape.types):
        # Without it a list becomes a record that holds one.
        config.parquet_options = ParquetOptions.from_api_repr({"enableListInference": True})
    return config
