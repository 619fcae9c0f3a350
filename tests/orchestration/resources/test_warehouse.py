"""What every warehouse promises, asked of each of them; and what is DuckDB's or BigQuery's alone."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.contract.columns import RAW_INTERACTIONS
from ml.contract.errors import ContractError, PlatformError
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from tests.local_gcp import LocalGcp

FIRST, SECOND, THIRD = (date(2026, 7, day) for day in (1, 2, 3))
SHAPE = pa.schema(
    {
        "name": pa.string(),
        "size": pa.float64(),
        "count": pa.int64(),
        "place": pa.int32(),
        "good": pa.bool_(),
        "moment": pa.timestamp("us"),
        "day": pa.date32(),
    }
)
NOON = datetime(2026, 7, 1, 12, 0, 0, 123456)


def rows(*days: date | None, name: str = "a") -> pa.Table:
    made = [
        {"name": name, "size": 1.5, "count": 2**60, "place": 3, "good": True, "moment": NOON, "day": day}
        for day in days
    ]
    return pa.Table.from_pylist(made, SHAPE)


def replace(warehouse: Warehouse, start: date, end: date, *tables: pa.Table) -> None:
    warehouse.replace_days(
        "raw", "t", iter(tables), SHAPE, day="day", start=start, end=end, cluster_by=["name", "place"]
    )


def names(warehouse: Warehouse) -> list[tuple[date, str]]:
    found = warehouse.query("select day, name from raw.t order by day, name").to_pylist()
    return [(row["day"], row["name"]) for row in found]


def test_parameters_are_values_not_text(warehouse: Warehouse):
    warehouse.replace_table("raw", "t", rows(FIRST, name="x'; drop table t"))
    found = warehouse.query("select name from raw.t where name = ? and day = ?", ["x'; drop table t", FIRST])
    assert found.to_pylist() == [{"name": "x'; drop table t"}]


def test_every_kind_of_value_may_be_a_parameter(warehouse: Warehouse):
    warehouse.replace_table("raw", "t", rows(FIRST))
    condition = "name = ? and size = ? and count = ? and good = ? and moment = ? and moment < ? and day = ?"
    berlin = datetime.fromisoformat("2026-07-01T14:00:01+02:00")
    values = ["a", 1.5, 2**60, True, NOON, berlin.astimezone(UTC), FIRST]
    assert len(warehouse.query(f"select name from raw.t where {condition}", values)) == 1


def test_values_come_out_as_they_went_in(warehouse: Warehouse):
    table = pa.concat_tables([rows(FIRST), pa.Table.from_pylist([{}], SHAPE)])
    warehouse.replace_table("raw", "t", table)
    found = warehouse.query("select * from raw.t order by name nulls last")
    assert found.cast(SHAPE).equals(table)
    assert found.schema.field("moment").type == pa.timestamp("us")


def test_batches_hold_all_rows_in_small_pieces(warehouse: Warehouse):
    many = pa.table({"a": pa.array(range(10_000), pa.int64()), "moment": pa.array([NOON] * 10_000, pa.timestamp("us"))})
    warehouse.replace_table("raw", "t", many)
    batches = list(warehouse.batches("select a, moment from raw.t where a >= ? order by a", [1], rows=4_096))
    assert [row for batch in batches for row in batch["a"].to_pylist()] == list(range(1, 10_000))
    assert all(batch.num_rows <= 4_096 for batch in batches)
    assert batches[0].schema == many.schema


def test_a_statement_changes_something(warehouse: Warehouse):
    warehouse.replace_table("raw", "t", rows(FIRST, SECOND))
    warehouse.execute("delete from raw.t where day = ?", [FIRST])
    assert names(warehouse) == [(SECOND, "a")]


def test_a_table_exists_once_it_was_made(warehouse: Warehouse):
    assert not warehouse.table_exists("raw", "t")
    warehouse.replace_table("raw", "t", rows(FIRST))
    assert warehouse.table_exists("raw", "t")
    assert not warehouse.table_exists("marts", "t")


def test_a_table_becomes_its_new_rows_and_columns(warehouse: Warehouse):
    warehouse.replace_table("raw", "t", rows(FIRST, SECOND))
    warehouse.replace_table("raw", "t", pa.table({"other": ["x"]}))
    assert warehouse.query("select * from raw.t").to_pylist() == [{"other": "x"}]
    warehouse.replace_table("raw", "t", SHAPE.empty_table())
    assert warehouse.query("select * from raw.t").cast(SHAPE).equals(SHAPE.empty_table())


def test_days_are_replaced_and_others_stay(warehouse: Warehouse):
    replace(warehouse, FIRST, THIRD, rows(FIRST, SECOND, name="old"), rows(THIRD, name="old"))
    replace(warehouse, SECOND, SECOND, rows(SECOND, SECOND, name="new"))
    assert names(warehouse) == [(FIRST, "old"), (SECOND, "new"), (SECOND, "new"), (THIRD, "old")]
    replace(warehouse, SECOND, THIRD)
    assert names(warehouse) == [(FIRST, "old")]


def test_a_window_without_rows_makes_the_table(warehouse: Warehouse):
    replace(warehouse, FIRST, FIRST, SHAPE.empty_table())
    assert warehouse.query("select * from raw.t").cast(SHAPE).equals(SHAPE.empty_table())


def breaking() -> Iterator[pa.Table]:
    yield rows(FIRST, name="new")
    raise OSError("disk gone")


@pytest.mark.parametrize("there", [True, False])
def test_a_window_that_breaks_half_way_changes_nothing(warehouse: Warehouse, there: bool):
    if there:
        replace(warehouse, FIRST, SECOND, rows(FIRST, SECOND))
    with pytest.raises(OSError, match="disk gone"):
        warehouse.replace_days("raw", "t", breaking(), SHAPE, day="day", start=FIRST, end=SECOND)
    assert warehouse.table_exists("raw", "t") is there
    if there:
        assert names(warehouse) == [(FIRST, "a"), (SECOND, "a")]


@pytest.mark.parametrize(
    ("outside", "received"), [(THIRD, "2026-07-01 to 2026-07-03, 0 of 2"), (None, "2026-07-01 to 2026-07-01, 1 of 2")]
)
def test_a_row_outside_the_window_is_refused(warehouse: Warehouse, outside: date | None, received: str):
    with pytest.raises(ContractError, match=f"`day` from 2026-07-01 to 2026-07-02. Received: {received} without one"):
        replace(warehouse, FIRST, SECOND, rows(FIRST, outside))
    assert not warehouse.table_exists("raw", "t")


def test_an_export_is_the_answer_in_parquet_files(
    warehouse: Warehouse, empty_folder: str, download: Callable[[str], pa.Table]
):
    replace(warehouse, FIRST, SECOND, rows(FIRST, SECOND, SECOND))
    files = warehouse.export("select day, name, moment from raw.t where day = date '2026-07-02'", empty_folder)
    found = pa.concat_tables([download(file) for file in files])
    assert all(file.startswith(empty_folder) and file.endswith(".parquet") for file in files)
    assert [{**row, "moment": row["moment"].replace(tzinfo=None)} for row in found.to_pylist()] == [
        {"day": SECOND, "name": "a", "moment": NOON}
    ] * 2


def test_an_export_refuses_a_folder_that_holds_something(warehouse: Warehouse, empty_folder: str):
    warehouse.replace_table("raw", "t", rows(FIRST))
    warehouse.export("select name from raw.t", empty_folder)
    with pytest.raises(ContractError, match="empty or new folder"):
        warehouse.export("select name from raw.t", empty_folder)


@pytest.fixture
def empty_folder(warehouse: Warehouse, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if isinstance(warehouse, DuckDBWarehouse):
        return str(tmp_path / "exports" / "o'clock")
    return f"gs://{request.getfixturevalue('fresh_gcp').bucket}/exports/first"


@pytest.fixture
def download(tmp_path: Path) -> Callable[[str], pa.Table]:
    def downloaded(uri: str) -> pa.Table:
        if not uri.startswith("gs://"):
            return pq.read_table(uri)
        from google.cloud import storage

        path = tmp_path / "downloaded.parquet"
        with closing(storage.Client()) as client, path.open("wb") as file:
            client.download_blob_to_file(uri, file)
        return pq.read_table(path)

    return downloaded


def test_an_export_of_duckdb_is_compressed_in_row_groups(tmp_path: Path):
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    warehouse.execute("create table t as select range as a from range(600000)")
    [file] = warehouse.export("select a from t order by a", str(tmp_path / "out"))
    written = pq.ParquetFile(file).metadata
    assert [written.row_group(n).num_rows for n in range(written.num_row_groups)] == [262_144, 262_144, 75_712]
    assert written.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    ("uri", "message"), [("gs://b/x", "folder of this machine"), ("/tmp/x", "exports to gs://bucket/folder")]
)
def test_an_export_goes_where_the_warehouse_can_write(tmp_path: Path, uri: str, message: str):
    gs = uri.startswith("gs")
    warehouse: Warehouse = DuckDBWarehouse(path=str(tmp_path / "w")) if gs else BigQueryWarehouse(project="p")
    with pytest.raises(ContractError, match=message):
        warehouse.export("select 1 as a", uri)


def test_a_writer_makes_the_file_and_its_folder(tmp_path: Path):
    warehouse = DuckDBWarehouse(path=str(tmp_path / "new" / "warehouse.duckdb"))
    with pytest.raises(duckdb.IOException):
        warehouse.query("select 1")
    assert not Path(warehouse.path).parent.exists(), "a reader makes nothing"
    warehouse.execute("create table t as select 1 as a")
    assert warehouse.query("select a from t").to_pylist() == [{"a": 1}]


def test_instants_with_a_zone_become_utc(tmp_path: Path):
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    warehouse.execute("create table t (a timestamp)")
    warehouse.execute("insert into t select cast(timestamptz '2026-07-01 12:00:00+02:00' as timestamp)")
    assert str(warehouse.query("select a from t")["a"][0]) == "2026-07-01 10:00:00"


def test_the_file_is_free_after_each_use(tmp_path: Path):
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    warehouse.execute("create table t as select 1 as a")
    with duckdb.connect(warehouse.path) as other:
        assert other.execute("select a from t").fetchall() == [(1,)]


def test_a_failed_transaction_leaves_everything_as_it_was(tmp_path: Path):
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    warehouse.execute("create table t as select 1 as a")
    with pytest.raises(RuntimeError, match="half-way"):
        _fail_half_way(warehouse)
    assert warehouse.query("select a from t").to_pylist() == [{"a": 1}]
    assert not warehouse.table_exists("main", "other")


def _fail_half_way(warehouse: DuckDBWarehouse) -> None:
    with warehouse.transaction() as connection:
        connection.execute("delete from t").fetchall()
        connection.execute("create table other as select 1 as a").fetchall()
        raise RuntimeError("half-way")


@pytest.fixture
def bigquery(fresh_gcp: LocalGcp) -> BigQueryWarehouse:
    return BigQueryWarehouse(project=fresh_gcp.project)


def test_days_are_partitions_and_rows_of_a_day_lie_together(bigquery: BigQueryWarehouse):
    replace(bigquery, FIRST, FIRST, rows(FIRST))
    with bigquery.client() as client:
        table = client.get_table("raw.t")
        assert table.time_partitioning.type_ == "DAY"
        assert table.time_partitioning.field == "day"
        assert table.clustering_fields == ["name", "place"]
        assert client.get_dataset("raw").location == "EU"


def test_nothing_is_left_beside_the_table(bigquery: BigQueryWarehouse):
    replace(bigquery, FIRST, FIRST, rows(FIRST))
    with pytest.raises(OSError, match="disk gone"):
        bigquery.replace_days("raw", "t", breaking(), SHAPE, day="day", start=FIRST, end=FIRST)
    with bigquery.client() as client:
        assert [table.table_id for table in client.list_tables("raw")] == ["t"]


def test_a_view_shows_what_its_query_finds(bigquery: BigQueryWarehouse):
    bigquery.replace_table("raw", "t", rows(FIRST, SECOND))
    bigquery.declare_view("staging", "v", "select day from raw.t where day = date '2026-07-02'")
    bigquery.declare_view("staging", "v", "select day from raw.t where day = date '2026-07-01'")
    assert bigquery.query("select * from staging.v").to_pylist() == [{"day": FIRST}]


def test_a_view_and_a_table_do_not_replace_each_other(bigquery: BigQueryWarehouse):
    bigquery.replace_table("raw", "t", rows(FIRST))
    bigquery.declare_view("raw", "v", "select 1 as a")
    with pytest.raises(PlatformError, match=r"raw\.t must be a view .* Received: a TABLE"):
        bigquery.declare_view("raw", "t", "select 1 as a")
    with pytest.raises(PlatformError, match=r"raw\.v must be a table .* Received: a VIEW"):
        bigquery.replace_table("raw", "v", rows(FIRST))
    with pytest.raises(PlatformError, match=r"raw\.v must be a table"):
        bigquery.replace_days("raw", "v", iter([]), SHAPE, day="day", start=FIRST, end=FIRST)


def test_a_type_outside_the_contract_is_named(bigquery: BigQueryWarehouse):
    with pytest.raises(ContractError, match=r"must be of a type of the contract: .* Received: binary"):
        bigquery.replace_table("raw", "t", pa.table({"a": [b"x"]}))


def test_the_tables_of_the_contract_have_types_bigquery_knows(bigquery: BigQueryWarehouse):
    bigquery.replace_table("raw", "t", RAW_INTERACTIONS.empty_table())
    with bigquery.client() as client:
        types = {field.name: field.field_type for field in client.get_table("raw.t").schema}
    assert types["occurred_at"] == "TIMESTAMP", "a DATETIME would have lost that it is UTC"
