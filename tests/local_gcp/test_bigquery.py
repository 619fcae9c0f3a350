"""The client surface: unchanged Google clients against the local BigQuery."""

import io
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    GoogleAPICallError,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
)
from google.cloud import bigquery, storage
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from tests.local_gcp import LocalGcp

# The client would rather have pandas-gbq turn messages into Arrow.
pytestmark = pytest.mark.filterwarnings("ignore:Retrieving Arrow record batches directly:PendingDeprecationWarning")
DAYS = [date(2026, 1, day) for day in (1, 1, 2, 3)]
EVENTS = pa.table(
    {
        "user_id": pa.array(["u1", "u2", "u1", None]),
        "weight": pa.array([1.5, 2.0, float("nan"), None]),
        "quantity": pa.array([1, 2, 3, 4]),
        "occurred_at": pa.array([datetime(2026, 1, 1, 10, 0, 0, 123456, UTC)] * 4, pa.timestamp("us", "UTC")),
        "event_date": pa.array(DAYS),
    }
)


@pytest.fixture
def client(fresh_gcp: LocalGcp) -> Iterator[bigquery.Client]:
    with bigquery.Client(fresh_gcp.project, location="EU") as client:
        client.create_dataset("shop")
        yield client


@pytest.fixture
def reader(fresh_gcp: LocalGcp) -> Iterator[BigQueryReadClient]:
    with grpc.insecure_channel(fresh_gcp.read_api) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def rows(client: bigquery.Client, sql: str, **config: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in client.query_and_wait(sql, job_config=bigquery.QueryJobConfig(**config))]


def load(client: bigquery.Client, table: pa.Table, name: str = "shop.events", **config: Any) -> bigquery.LoadJob:
    content = io.BytesIO()
    pq.write_table(table, content)
    content.seek(0)
    options = {"source_format": "PARQUET", "write_disposition": "WRITE_TRUNCATE", **config}
    return client.load_table_from_file(content, name, job_config=bigquery.LoadJobConfig(**options)).result(timeout=30)


@pytest.fixture
def events(client: bigquery.Client) -> str:
    """A table of four events on three days, partitioned by day."""
    by_day = bigquery.TimePartitioning(field="event_date")
    load(client, EVENTS, time_partitioning=by_day, clustering_fields=["user_id"])
    return "shop.events"


# -- queries -----------------------------------------------------------------------------------------------------------

SCALARS = [
    ("INT64", 2**62),
    ("FLOAT64", 0.1),
    ("BOOL", True),
    ("STRING", "it's a 'quoted' \\ one?"),
    ("BYTES", b"\x00\xff"),
    ("DATE", date(2026, 1, 2)),
    ("TIME", time(1, 2, 3)),
    ("DATETIME", datetime(2026, 1, 2, 3, 4, 5, 6)),
    ("TIMESTAMP", datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
    ("NUMERIC", Decimal("1.23")),
]


@pytest.mark.parametrize(("kind", "value"), SCALARS, ids=[kind for kind, _ in SCALARS])
def test_parameters_come_back_as_they_were_given(client: bigquery.Client, kind: str, value: Any) -> None:
    by_name = [bigquery.ScalarQueryParameter("p", kind, value), bigquery.ScalarQueryParameter("n", kind, None)]
    assert rows(client, "select @p, @n, @p = @P", query_parameters=by_name) == [(value, None, True)]
    by_place = [bigquery.ScalarQueryParameter(None, kind, value), bigquery.ScalarQueryParameter(None, "INT64", 7)]
    found = rows(client, "select '?' as mark, n, p from (select ? as p, ? as n) -- ?", query_parameters=by_place)
    assert found == [("?", 7, value)]
    several = [bigquery.ArrayQueryParameter("p", kind, [value, value])]
    assert rows(client, "select @p", query_parameters=several) == [([value, value],)]


def test_values_are_the_same_over_rest_and_over_arrow(client: bigquery.Client, reader: BigQueryReadClient) -> None:
    sql = """select 1 as i, 1.5 as f, cast('inf' as float64) as inf, true as b, 'é' as s, b'a' as y, date '2026-01-02' as d,
        datetime '2026-01-02 03:04:05' as dt, timestamp '2026-01-02 03:04:05.000006' as ts, time '01:02:03' as t,
        numeric '1.5' as n, null as nothing, [1, 2] as l, struct(1 as a, ['x'] as b) as r, [struct(1 as a)] as lr"""
    result = client.query(sql).result()
    ((*plain,),) = [tuple(row.values()) for row in result]
    arrow = client.query(sql).to_arrow(bqstorage_client=reader).to_pylist()[0]
    assert [field.field_type for field in result.schema] == [
        "INTEGER", "FLOAT", "FLOAT", "BOOLEAN", "STRING", "BYTES", "DATE", "DATETIME", "TIMESTAMP", "TIME", "NUMERIC",
        "INTEGER", "INTEGER", "RECORD", "RECORD",
    ]  # fmt: skip
    assert plain == list(arrow.values())
    assert plain[:4] == [1, 1.5, math.inf, True]
    assert plain[-4:] == [None, [1, 2], {"a": 1, "b": ["x"]}, [{"a": 1}]]


def test_a_wrong_query_is_a_bad_request_at_once(client: bigquery.Client) -> None:
    with pytest.raises(BadRequest, match="nothing"):
        client.query_and_wait("select nothing from (select 1 as a)")
    with pytest.raises(BadRequest, match="Syntax error"):
        client.query("selec 1").result()
    with pytest.raises(NotFound, match=r"Not found: Table aisle-local:shop\.nowhere"):
        client.query_and_wait("select * from shop.nowhere")


def test_what_is_missing_here_is_not_retried(client: bigquery.Client) -> None:
    with pytest.raises(MethodNotImplemented, match="local BigQuery does not know the function"):
        client.query("select farm_fingerprint('a')").result()
    with pytest.raises(MethodNotImplemented, match="route GET"):
        client.get_service_account_email()
    with pytest.raises(MethodNotImplemented, match="createSession"):
        client.query("select 1", job_config=bigquery.QueryJobConfig(create_session=True)).result()
    with pytest.raises(MethodNotImplemented, match="AVRO"):
        load(client, EVENTS, source_format="AVRO")


def test_a_dry_run_checks_the_query_and_weighs_the_columns_and_partitions_it_reads(
    client: bigquery.Client, events: str
) -> None:
    def size(sql: str) -> int:
        return client.query(sql, job_config=bigquery.QueryJobConfig(dry_run=True)).total_bytes_processed

    # https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes
    assert size(f"select quantity from {events}") == 4 * 8
    assert size(f"select user_id from {events}") == 3 * (2 + 2)
    assert size(f"select quantity from {events} where event_date = date '2026-01-01'") == 2 * (8 + 8)
    with pytest.raises(BadRequest, match="nothing"):
        size(f"select nothing from {events}")


def test_results_come_in_pages(client: bigquery.Client) -> None:
    numbers = client.query("select x from unnest(generate_array(1, 25)) as x order by x").result(page_size=10)
    assert [[row["x"] for row in page] for page in numbers.pages] == [
        list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]  # fmt: skip
    assert numbers.total_rows == 25


def test_a_job_id_is_used_once(client: bigquery.Client) -> None:
    client.query("select 1", job_id="mine", job_retry=None).result()
    with pytest.raises(Conflict):
        client.query("select 2", job_id="mine", retry=None, job_retry=None)
    assert client.get_job("mine").state == "DONE"


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_table_tells_what_its_ddl_said(client: bigquery.Client) -> None:
    client.query_and_wait(
        """create table shop.made (
            id int64 not null options (description = 'key'), name string, day date, primary key (id) not enforced
        ) partition by date_trunc(day, month) cluster by id, name
        options (description = 'made by hand', labels = [('team', 'ml')], require_partition_filter = true)"""
    )
    table = client.get_table("shop.made")
    assert [(field.name, field.mode, field.description) for field in table.schema] == [
        ("id", "REQUIRED", "key"), ("name", "NULLABLE", None), ("day", "NULLABLE", None)]  # fmt: skip
    assert (table.time_partitioning.field, table.time_partitioning.type_) == ("day", "MONTH")
    assert table.clustering_fields == ["id", "name"]
    assert (table.description, table.labels, table.require_partition_filter) == ("made by hand", {"team": "ml"}, True)
    assert table.table_constraints.primary_key.columns == ["id"]
    with pytest.raises(BadRequest, match="Required field id cannot be null"):
        client.query_and_wait("insert into shop.made (name) values ('x')")


def test_ctas_casts_to_its_column_list_and_keeps_not_null(client: bigquery.Client) -> None:
    client.query_and_wait("create table shop.c (a float64 not null, b int64) as select 1, sum(2)")
    assert [(field.name, field.field_type, field.mode) for field in client.get_table("shop.c").schema] == [
        ("a", "FLOAT", "REQUIRED"), ("b", "INTEGER", "NULLABLE")]  # fmt: skip
    with pytest.raises(BadRequest, match="Required field a cannot be null"):
        client.query_and_wait("create or replace table shop.c (a float64 not null) as select cast(null as float64)")
    assert rows(client, "select * from shop.c") == [(1.0, 2)]  # a statement that fails leaves what there was


def test_a_table_may_be_replaced_from_itself(client: bigquery.Client) -> None:
    client.query_and_wait("create table shop.t partition by d as select 1 as a, date '2026-01-01' as d")
    client.query_and_wait("create or replace table shop.t as select a + 1 as a from shop.t")
    assert rows(client, "select * from shop.t") == [(2,)]
    assert client.get_table("shop.t").time_partitioning is None


def test_a_view_is_its_query_at_the_moment_it_is_read(client: bigquery.Client) -> None:
    client.query_and_wait("create table shop.t as select 1 as a")
    client.query_and_wait("create view shop.v options (description = 'all of t') as select * from shop.t")
    client.query_and_wait("create or replace table shop.t as select 'two' as a, 2 as b")
    assert rows(client, "select v.b, a from shop.v") == [(2, "two")]
    view = client.get_table("shop.v")
    assert (view.table_type, view.description, view.view_query) == ("VIEW", "all of t", "SELECT * FROM shop.t")
    with pytest.raises(BadRequest, match="is a view"):
        client.list_rows(view).to_arrow(create_bqstorage_client=False)
    with pytest.raises(BadRequest, match="cannot be modified"):
        client.query_and_wait("delete from shop.v where true")
    with pytest.raises(BadRequest, match="type VIEW"):
        client.query_and_wait("drop table shop.v")


def test_datasets_and_tables_are_made_listed_changed_and_dropped(client: bigquery.Client) -> None:
    client.query_and_wait("create schema if not exists extra options (location = 'EU')")
    with pytest.raises(Conflict):
        client.create_dataset("extra")
    client.create_dataset("extra", exists_ok=True)
    assert {dataset.dataset_id for dataset in client.list_datasets()} == {"shop", "extra"}
    assert client.get_dataset("extra").location == "EU"
    table = client.create_table(bigquery.Table("aisle-local.extra.t", [bigquery.SchemaField("a", "INT64", "REQUIRED")]))
    table.schema = [*table.schema, bigquery.SchemaField("b", "STRING", description="added")]
    table.description = "of two columns"
    client.update_table(table, ["schema", "description"])
    found = client.get_table("extra.t")
    assert [(field.name, field.description) for field in found.schema] == [("a", None), ("b", "added")]
    assert (found.description, found.num_rows) == ("of two columns", 0)
    assert [item.table_id for item in client.list_tables("extra")] == ["t"]
    with pytest.raises(BadRequest, match="still in use"):
        client.delete_dataset("extra")
    client.delete_dataset("extra", delete_contents=True)
    client.delete_dataset("extra", not_found_ok=True)
    with pytest.raises(NotFound, match="Dataset aisle-local:extra"):
        client.get_dataset("extra")


def test_two_projects_have_their_own_tables(client: bigquery.Client) -> None:
    with bigquery.Client(project="other-project") as other:
        other.create_dataset("shop")
        other.query_and_wait("create table shop.t as select 'theirs' as whose")
    client.query_and_wait("create table shop.t as select 'ours' as whose")
    both = rows(client, "select a.whose as a, b.whose as b from shop.t as a cross join `other-project.shop.t` as b")
    assert both == [("ours", "theirs")]


@pytest.mark.usefixtures("events")
def test_information_schema_knows_columns_tables_and_datasets(client: bigquery.Client) -> None:
    columns = rows(
        client,
        """select column_name, data_type, is_partitioning_column, clustering_ordinal_position
        from shop.INFORMATION_SCHEMA.COLUMNS where table_name = 'events' order by ordinal_position""",
    )
    assert columns == [
        ("user_id", "STRING", "NO", 1), ("weight", "FLOAT64", "NO", None), ("quantity", "INT64", "NO", None),
        ("occurred_at", "TIMESTAMP", "NO", None), ("event_date", "DATE", "YES", None),
    ]  # fmt: skip
    assert rows(client, "select table_name, table_type from `aisle-local.shop.INFORMATION_SCHEMA.TABLES`") == [
        ("events", "BASE TABLE")]  # fmt: skip
    assert rows(client, "select schema_name, location from INFORMATION_SCHEMA.SCHEMATA") == [("shop", "EU")]


# -- changes -----------------------------------------------------------------------------------------------------------


def test_merge_with_a_false_condition_replaces_days(client: bigquery.Client, events: str) -> None:
    job = client.query(
        f"""merge into {events} as old using (select 'new' as user_id, date '2026-01-01' as event_date) as new on FALSE
        when not matched by source and old.event_date in (date '2026-01-01', date '2026-01-09') then delete
        when not matched then insert (user_id, event_date) values (user_id, event_date)"""
    )
    job.result()
    assert job.num_dml_affected_rows == 3
    left = rows(client, f"select user_id, event_date from {events} order by event_date, user_id")
    assert left == [("new", DAYS[0]), ("u1", DAYS[2]), (None, DAYS[3])]


def test_merge_updates_inserts_and_refuses_two_rows_for_one(client: bigquery.Client) -> None:
    client.query_and_wait("create table shop.t as select 1 as id, 'a' as v union all select 2, 'b'")
    client.query_and_wait(
        """merge shop.t as t using (select 2 as id, 'new' as v union all select 3, 'c') as s on t.id = s.id
        when matched then update set v = s.v when not matched then insert (id, v) values (id, v)"""
    )
    assert rows(client, "select * from shop.t order by id") == [(1, "a"), (2, "new"), (3, "c")]
    with pytest.raises(BadRequest, match="more than once"):
        client.query_and_wait(
            """merge shop.t as t using (select 1 as id, 'x' as v union all select 1, 'y') as s on t.id = s.id
            when matched then update set v = s.v"""
        )


def test_a_script_declares_sets_and_reads_variables(client: bigquery.Client, events: str) -> None:
    script = f"""declare days array<date>; declare lowest, highest int64 default 0;
        create temp table touched as select * from {events} where quantity > 1;
        set (days) = (select as struct array_agg(distinct event_date ignore nulls) from touched);
        set (lowest, highest) = (select as struct min(quantity), max(quantity) from touched);
        set highest = highest + 1;
        select array_length(days), lowest, highest, (select count(*) from {events} where event_date in unnest(days))"""
    assert [tuple(row.values()) for row in client.query(script).result()] == [(3, 2, 5, 4)]
    with pytest.raises(BadRequest, match="must be qualified"):
        client.query_and_wait("select * from touched")  # gone with its script


def test_a_transaction_is_undone_by_rollback(client: bigquery.Client, events: str) -> None:
    counted = f"begin transaction; delete from {events} where true; {{}} transaction; select count(*) from {events}"
    assert [row[0] for row in client.query(counted.format("rollback")).result()] == [4]
    assert [row[0] for row in client.query(counted.format("commit")).result()] == [0]


def test_update_and_delete_need_a_condition(client: bigquery.Client, events: str) -> None:
    for statement in (f"delete from {events}", f"update {events} set quantity = 1"):
        with pytest.raises(BadRequest, match="must have a WHERE clause"):
            client.query_and_wait(statement)
    client.query_and_wait(f"update {events} set quantity = quantity + 10 where user_id = 'u1'")
    client.query_and_wait(f"truncate table {events}")
    assert client.get_table(events).num_rows == 0


# -- files -------------------------------------------------------------------------------------------------------------


def test_parquet_is_loaded_with_its_types(client: bigquery.Client, events: str) -> None:
    table = client.get_table(events)
    kinds = {field.name: field.field_type for field in table.schema}
    assert kinds == {
        "user_id": "STRING", "weight": "FLOAT", "quantity": "INTEGER", "occurred_at": "TIMESTAMP", "event_date": "DATE",
    }  # fmt: skip
    assert (table.num_rows, table.time_partitioning.field, table.clustering_fields) == (4, "event_date", ["user_id"])
    # 3 names of 2 letters with 2 bytes each, 3 floats, 4 integers, 4 instants, 4 dates
    assert table.num_bytes == 3 * (2 + 2) + 3 * 8 + 4 * 8 + 4 * 8 + 4 * 8


def test_a_load_appends_truncates_or_refuses(client: bigquery.Client, events: str) -> None:
    assert load(client, EVENTS, write_disposition="WRITE_APPEND").output_rows == 4
    assert client.get_table(events).num_rows == 8
    with pytest.raises(Conflict, match="Already Exists"):
        load(client, EVENTS, write_disposition="WRITE_EMPTY")
    load(client, EVENTS.slice(0, 1))
    assert client.get_table(events).num_rows == 1
    assert client.get_table(events).time_partitioning.field == "event_date"


def test_a_partition_is_replaced_alone(client: bigquery.Client, events: str) -> None:
    load(client, EVENTS.slice(0, 1), f"{events}$20260101")
    assert rows(client, f"select event_date, count(*) from {events} group by 1 order by 1") == [
        (DAYS[0], 1), (DAYS[2], 1), (DAYS[3], 1)]  # fmt: skip
    with pytest.raises(BadRequest, match="Some rows belong to different partitions"):
        load(client, EVENTS, f"{events}$20260102")
    assert client.get_table(events).num_rows == 3
    client.delete_table(f"{events}$20260103")
    assert client.get_table(events).num_rows == 2


def test_an_append_must_fit_the_table(client: bigquery.Client, events: str) -> None:
    more = EVENTS.append_column("extra", pa.array([1, 2, 3, 4]))
    with pytest.raises(BadRequest, match="Cannot add fields"):
        load(client, more, write_disposition="WRITE_APPEND")
    load(client, more, write_disposition="WRITE_APPEND", schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert rows(client, f"select sum(extra), count(*) from {events}") == [(10, 8)]
    other = EVENTS.set_column(2, "quantity", pa.array(["1", "2", "3", "4"]))
    with pytest.raises(BadRequest, match="quantity has changed type"):
        load(client, other, write_disposition="WRITE_APPEND")
    with pytest.raises(BadRequest, match="Incompatible table partitioning"):
        load(client, EVENTS, time_partitioning=bigquery.TimePartitioning(field="occurred_at"))


def test_lists_in_parquet_need_list_inference(client: bigquery.Client) -> None:
    lists = pa.table({"l": [[1, 2], []]})
    with pytest.raises(MethodNotImplemented, match="enable_list_inference"):
        load(client, lists, "shop.lists")
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    load(client, lists, "shop.lists", parquet_options=options)
    assert rows(client, "select array_length(l) from shop.lists order by 1") == [(0,), (2,)]


def test_files_on_cloud_storage_are_loaded_and_exported(client: bigquery.Client, fresh_gcp: LocalGcp) -> None:
    bucket = storage.Client().bucket(fresh_gcp.bucket)
    for part in (0, 2):
        content = io.BytesIO()
        pq.write_table(EVENTS.slice(part, 2), content)
        bucket.blob(f"in/{part}.parquet").upload_from_string(content.getvalue())
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    uri = f"gs://{fresh_gcp.bucket}"
    assert client.load_table_from_uri(f"{uri}/in/*.parquet", "shop.t", job_config=config).result().output_rows == 4
    with pytest.raises(NotFound, match="URI"):
        client.load_table_from_uri(f"{uri}/nothing/*", "shop.t", job_config=config).result()
    export = f"""export data options (uri = '{uri}/out/*.parquet', format = 'PARQUET', compression = 'ZSTD') as
        select x, timestamp_seconds(x) as at from unnest(generate_array(1, 60000)) as x"""
    client.query_and_wait(export)
    files = [pq.ParquetFile(io.BytesIO(blob.download_as_bytes())) for blob in bucket.list_blobs(prefix="out/")]
    assert [file.metadata.num_rows for file in files] == [50_000, 10_000]
    assert files[0].metadata.row_group(0).column(0).compression == "ZSTD"
    assert files[0].schema_arrow.field("at").type == pa.timestamp("us", tz="UTC")
    with pytest.raises(BadRequest, match="Set overwrite"):
        client.query_and_wait(export)
    with pytest.raises(NotFound, match="Not found: Bucket nowhere"):
        client.query_and_wait(export.replace(fresh_gcp.bucket, "nowhere"))
    with pytest.raises(BadRequest, match="wild card"):
        client.query_and_wait(export.replace("*", "one"))
    client.extract_table(
        "shop.t", f"{uri}/extracted.parquet", job_config=bigquery.ExtractJobConfig(destination_format="PARQUET")
    ).result()
    assert pq.read_table(io.BytesIO(bucket.blob("extracted.parquet").download_as_bytes())).num_rows == 4


def test_csv_and_json_are_loaded(client: bigquery.Client) -> None:
    schema = [bigquery.SchemaField("id", "INT64"), bigquery.SchemaField("name", "STRING")]
    config = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=schema, quote_character='"')
    text = b'id,name\n1,"a, b"\n2,\n'
    client.load_table_from_file(io.BytesIO(text), "shop.csv", job_config=config).result()
    assert rows(client, "select * from shop.csv order by id") == [(1, "a, b"), (2, None)]
    client.load_table_from_json([{"id": 1, "name": "x"}], "shop.json").result()
    assert client.insert_rows_json("shop.json", [{"id": 2, "name": "y"}]) == []
    assert rows(client, "select * from shop.json order by id") == [(1, "x"), (2, "y")]


def test_a_large_upload_is_resumable(client: bigquery.Client) -> None:
    content = io.BytesIO()
    numbers = pa.table({"x": pa.array(range(300_000))})
    pq.write_table(numbers, content, compression="none", use_dictionary=False)
    content.seek(0)
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    client.load_table_from_file(content, "shop.big", job_config=config).result()
    assert rows(client, "select count(*), sum(x) from shop.big") == [(300_000, sum(range(300_000)))]


def test_tables_and_partitions_are_copied(client: bigquery.Client, events: str) -> None:
    client.copy_table(events, "shop.copy").result()
    copy = client.get_table("shop.copy")
    assert (copy.num_rows, copy.time_partitioning.field) == (4, "event_date")
    with pytest.raises(Conflict):
        client.copy_table(events, "shop.copy").result()
    client.query_and_wait("delete from shop.copy where event_date = date '2026-01-01'")
    replace = bigquery.CopyJobConfig(write_disposition="WRITE_TRUNCATE")
    client.copy_table(f"{events}$20260101", "shop.copy$20260101", job_config=replace).result()
    assert client.get_table("shop.copy").num_rows == 4


def test_a_query_writes_to_its_destination(client: bigquery.Client) -> None:
    destination = bigquery.TableReference.from_string("aisle-local.shop.answer")
    for number in (1, 2):
        config = bigquery.QueryJobConfig(destination=destination, write_disposition="WRITE_APPEND")
        client.query(f"select {number} as n", job_config=config).result()
    assert rows(client, "select n from shop.answer order by n") == [(1,), (2,)]


# -- the Storage Read API ----------------------------------------------------------------------------------------------


def session(reader: BigQueryReadClient, table: str, streams: int, **options: Any) -> types.ReadSession:
    asked = types.ReadSession(
        table=f"projects/aisle-local/datasets/shop/tables/{table}",
        data_format=types.DataFormat.ARROW,
        read_options=types.ReadSession.TableReadOptions(**options),
    )
    return reader.create_read_session(parent="projects/aisle-local", read_session=asked, max_stream_count=streams)


def test_a_read_session_has_streams_columns_and_rows_as_asked(
    client: bigquery.Client, events: str, reader: BigQueryReadClient
) -> None:
    opened = session(
        reader, "events", 3, selected_fields=["quantity", "user_id"],
        row_restriction="event_date >= date '2026-01-01' and quantity > 1",
    )  # fmt: skip
    assert len(opened.streams) == 3
    client.query_and_wait(f"delete from {events} where true")  # a session is a snapshot
    read = pa.concat_tables([reader.read_rows(stream.name).to_arrow(opened) for stream in opened.streams])
    assert read.to_pylist() == EVENTS.select(["quantity", "user_id"]).slice(1).to_pylist()


@pytest.mark.usefixtures("events")
def test_a_stream_can_be_taken_up_again_in_the_middle(reader: BigQueryReadClient) -> None:
    opened = session(reader, "events", 1)
    assert reader.read_rows(opened.streams[0].name, offset=3).to_arrow(opened).num_rows == 1


def test_a_session_over_nothing_has_no_streams(
    client: bigquery.Client, events: str, reader: BigQueryReadClient
) -> None:
    opened = session(reader, "events", 4, row_restriction="quantity > 99")
    assert list(opened.streams) == []
    table = client.list_rows(client.get_table(events)).to_arrow(bqstorage_client=reader)
    assert table.num_rows == 4


def test_errors_of_the_read_api_are_its_own(client: bigquery.Client, events: str, reader: BigQueryReadClient) -> None:
    with pytest.raises(NotFound):
        session(reader, "nowhere", 1)
    with pytest.raises(InvalidArgument):
        session(reader, "events", 1, row_restriction="nothing > 1")
    client.query_and_wait(f"create view shop.v as select * from {events}")
    with pytest.raises(InvalidArgument, match="view"):
        session(reader, "v", 1)
    with pytest.raises(MethodNotImplemented):
        session(reader, "events", 1, row_restriction="farm_fingerprint(user_id) > 0")


# -- many at once, and trouble -----------------------------------------------------------------------------------------


def test_eight_threads_write_and_read_at_once(client: bigquery.Client) -> None:
    def work(number: int) -> int:
        with bigquery.Client() as own:
            own.query_and_wait(f"create table shop.t{number} as select {number} as n")
            load(own, EVENTS, f"shop.e{number}")
            for _ in range(5):
                own.query_and_wait(f"insert into shop.t{number} select max(n) + 1 from shop.t{number}")
            return rows(own, f"select max(n) from shop.t{number}")[0][0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [number + 5 for number in range(8)]
    assert len(list(client.list_tables("shop"))) == 16


def test_no_row_of_concurrent_inserts_is_lost(client: bigquery.Client) -> None:
    client.query_and_wait("create table shop.t (n int64)")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: client.query_and_wait(f"insert into shop.t values ({n})"), range(40)))
    assert rows(client, "select count(*), sum(n) from shop.t") == [(40, sum(range(40)))]


def test_a_paused_server_answers_late_and_a_killed_one_begins_anew() -> None:
    with LocalGcp() as local:
        client = bigquery.Client.from_service_account_json(
            local.environment()["GOOGLE_APPLICATION_CREDENTIALS"], client_options={"api_endpoint": local.bigquery_url}
        )
        client.create_dataset("shop")
        local.pause()
        threading.Timer(0.5, local.resume).start()
        assert [dataset.dataset_id for dataset in client.list_datasets()] == ["shop"]
        local.kill()
        with pytest.raises((GoogleAPICallError, OSError)):
            list(client.list_datasets(retry=None, timeout=1))
        local.start()
        assert list(client.list_datasets()) == []
        client.close()
