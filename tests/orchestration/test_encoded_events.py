"""Ids become numbers in the warehouse, and the numbers are those of the snapshot's vocabularies."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from ml.contract.columns import DIM_ITEM_EMBEDDINGS, ENCODED_EVENTS
from ml.contract.errors import DataError
from ml.dataset.training_data import TrainingData
from ml.features.embeddings import embedding
from ml.storage import store_at
from orchestration.assets.training import read_training_data
from orchestration.encoded_events import encoded_events, require_byte_order
from orchestration.resources.exports import ExportArea
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from tests import world

ODD_IDS = ["Z", "a", "ä", "é", "10", "9", "中", "😀", "a b", "A"]
"""Orders of bytes, of letters and of numbers differ for these."""

VECTORS_OF = ("i003", "i017")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return world.training_data()


@pytest.fixture(params=["duckdb", pytest.param("bigquery", marks=pytest.mark.e2e)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Warehouse, ExportArea]:
    """An empty warehouse, and where its exports go: a file and a folder, or Google's protocols on a local server."""
    scratch = str(tmp_path / "scratch")
    if request.param == "duckdb":
        local = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
        return local, ExportArea(uri=str(tmp_path / "exports"), scratch_folder=scratch)
    environment = request.getfixturevalue("fresh_gcp").environment()
    remote = BigQueryWarehouse(project=environment["AISLE_GCP_PROJECT"], location="EU")
    uri = f"gs://{environment['AISLE_GCP_BUCKET']}/exports"
    return remote, ExportArea(uri=uri, scratch_folder=scratch)


@pytest.fixture
def exports(shop: tuple[Warehouse, ExportArea]) -> ExportArea:
    return shop[1]


@pytest.fixture
def warehouse(shop: tuple[Warehouse, ExportArea], data: TrainingData) -> Warehouse:
    """The small world's marts, their rows in no order."""
    marts = {
        "fct_interactions": world.interactions(),
        "dim_items": data.items,
        "dim_users": data.users,
        "feat_items": data.item_features,
        "feat_users": data.user_features,
    }
    vectors = [{"item_id": item, "name": "text", "vector": [3.0, 4.0]} for item in VECTORS_OF]
    marts["dim_item_embeddings"] = pa.Table.from_pylist(vectors, schema=DIM_ITEM_EMBEDDINGS)
    rng = np.random.default_rng(0)
    for name, rows in marts.items():
        shop[0].replace_table("marts", name, rows.take(pa.array(rng.permutation(len(rows)))))
    return shop[0]


def test_the_warehouse_encodes_as_python_does(warehouse: Warehouse, exports: ExportArea, data: TrainingData):
    read = read_training_data(warehouse, exports)

    mine, theirs = read.log, data.log
    for name in ("user_rows", "item_rows", "event_codes", "occurred_at", "known_at", "quantity", "amount"):
        array = getattr(theirs, name)
        assert np.array_equal(getattr(mine, name), array, equal_nan=array.dtype.kind == "f"), name
    baskets = np.unique(np.stack([mine.basket_rows, theirs.basket_rows], axis=1), axis=0)
    assert len(baskets) == len(np.unique(mine.basket_rows)) == len(np.unique(theirs.basket_rows))
    assert read.cut_at == world.CUT
    assert read.user_ids.ids.equals(data.user_ids.ids)


def test_vectors_come_to_their_items(warehouse: Warehouse, exports: ExportArea):
    items = read_training_data(warehouse, exports).items
    found = dict(zip(items["item_id"].to_pylist(), embedding(items, "text").tolist(), strict=True))
    assert found == {item: pytest.approx([0.6, 0.8] if item in VECTORS_OF else [0, 0], abs=1e-3) for item in found}


def test_a_snapshot_is_the_same_whichever_order_the_warehouse_has(
    warehouse: Warehouse, exports: ExportArea, tmp_path: Path
):
    first = read_training_data(warehouse, exports)
    first.save(tmp_path / "first")
    digest = first.events.digest()
    shuffled = world.interactions().take(pa.array(np.random.default_rng(5).permutation(len(world.interactions()))))
    warehouse.replace_table("marts", "fct_interactions", shuffled)

    assert read_training_data(warehouse, exports).events.digest() == digest
    assert TrainingData.load(tmp_path / "first").events.digest() == digest


def test_events_not_known_before_the_cut_stay_in_the_warehouse(warehouse: Warehouse, exports: ExportArea):
    earlier = world.CUT - timedelta(days=20)
    before = "select count(*) as n from marts.fct_interactions where known_at < ? and occurred_at < ?"
    [expected] = warehouse.query(before, [earlier, earlier]).to_pylist()

    files = exports.fetch(warehouse, encoded_events(earlier), name="events")

    assert 0 < sum(pq.read_metadata(path).num_rows for path in files) == expected["n"]


def test_no_text_leaves_the_warehouse(warehouse: Warehouse, exports: ExportArea):
    path, *_ = exports.fetch(warehouse, encoded_events(world.CUT), name="events")

    schema = pq.read_schema(path)
    assert schema.names == ENCODED_EVENTS.names
    assert not [field.name for field in schema if pa.types.is_string(field.type)]


def test_ids_are_numbered_in_the_order_of_their_bytes(shop: tuple[Warehouse, ExportArea]):
    warehouse, _ = shop
    ids = pa.table({"user_id": ODD_IDS, "item_id": ODD_IDS})
    warehouse.replace_table("marts", "dim_users", ids)
    warehouse.replace_table("marts", "dim_items", ids)
    event = world.interactions().slice(0, 1)
    rows = [{**event.to_pylist()[0], "user_id": name, "item_id": name} for name in ODD_IDS]
    warehouse.replace_table("marts", "fct_interactions", pa.Table.from_pylist(rows, schema=event.schema))

    found = warehouse.query(f"select user_row, item_row from ({encoded_events(world.CUT)}) order by user_row")
    listed = warehouse.query("select user_id from marts.dim_users order by user_id")["user_id"]

    assert found.to_pylist() == [{"user_row": row, "item_row": row} for row in range(len(ODD_IDS))]
    require_byte_order(listed, table="marts.dim_users")
    assert listed.to_pylist() == sorted(ODD_IDS)


def test_another_collation_is_refused():
    with pytest.raises(DataError, match=r"`marts.dim_items` must be sorted by the bytes"):
        require_byte_order(pa.chunked_array([["a", "B"]]), table="marts.dim_items")


def test_the_sql_is_read_by_both_dialects_alike():
    duckdb, bigquery = (sqlglot.parse_one(encoded_events(world.CUT), dialect=name) for name in ("duckdb", "bigquery"))

    assert not list(bigquery.find_all(exp.Command, exp.Anonymous))
    assert [column.alias_or_name for column in bigquery.selects] == ENCODED_EVENTS.names
    assert [column.alias_or_name for column in duckdb.selects] == ENCODED_EVENTS.names


def test_nothing_of_an_older_export_is_taken_for_the_new_one(warehouse: Warehouse, exports: ExportArea, tmp_path: Path):
    old = tmp_path / "scratch" / "events" / "part-7.parquet"
    old.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), old)
    store_at(exports.uri).upload(old, "events/part-7.parquet")

    files = exports.fetch(warehouse, encoded_events(world.CUT), name="events")

    assert old not in files
    assert sorted(files) == sorted((tmp_path / "scratch" / "events").iterdir())
    # What another run is exporting under the same name stays its own; ours is fetched once.
    assert [part.name for part in store_at(exports.uri).list()] == ["events/part-7.parquet"]
