"""The DuckDB warehouse opens for one use, closes after it, and does a transaction whole or not at all."""

from pathlib import Path

import duckdb
import pytest

from orchestration.resources.warehouse_duckdb import DuckDBWarehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(path=str(tmp_path / "new" / "warehouse.duckdb"))


def test_a_writer_makes_the_file_and_its_folder(warehouse: DuckDBWarehouse):
    warehouse.execute("create table t as select 1 as a")
    assert warehouse.query("select a from t").to_pylist() == [{"a": 1}]


def test_a_reader_makes_nothing(warehouse: DuckDBWarehouse):
    with pytest.raises(duckdb.IOException):
        warehouse.query("select 1")
    assert not Path(warehouse.path).parent.exists()


def test_parameters_are_values_not_text(warehouse: DuckDBWarehouse):
    warehouse.execute("create table t as select 'x''; drop table t' as a")
    assert len(warehouse.query("select a from t where a = ?", ["x'; drop table t"])) == 1


def test_instants_are_utc(warehouse: DuckDBWarehouse):
    warehouse.execute("create table t (a timestamp)")
    warehouse.execute("insert into t select cast(timestamptz '2026-07-01 12:00:00+02:00' as timestamp)")
    assert str(warehouse.query("select a from t")["a"][0]) == "2026-07-01 10:00:00"


def test_batches_hold_all_rows_in_small_pieces(warehouse: DuckDBWarehouse):
    warehouse.execute("create table t as select range as a from range(10000)")
    sizes = [batch.num_rows for batch in warehouse.batches("select a from t", rows=4_096)]
    assert sum(sizes) == 10_000
    assert len(sizes) > 1


def test_a_table_exists_once_it_was_made(warehouse: DuckDBWarehouse):
    assert not warehouse.table_exists("main", "t")
    warehouse.execute("create table t as select 1 as a")
    assert warehouse.table_exists("main", "t")
    assert not warehouse.table_exists("raw", "t")


def test_the_file_is_free_after_each_use(warehouse: DuckDBWarehouse):
    warehouse.execute("create table t as select 1 as a")
    with duckdb.connect(warehouse.path) as other:
        assert other.execute("select a from t").fetchall() == [(1,)]


def test_a_failed_transaction_leaves_everything_as_it_was(warehouse: DuckDBWarehouse):
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
