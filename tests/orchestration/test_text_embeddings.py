"""Vectors of what the catalogue says of its items."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ml.contract.columns import RAW_ITEM_TEXT_EMBEDDINGS, RAW_ITEMS
from ml.contract.errors import PlatformError
from ml.dataset.text_encoder import TextEncoder
from orchestration.resources.text_encoder import TextEncoderResource
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from orchestration.text_embeddings import TextEmbeddings
from tests.text_model import write_text_model

ITEMS: list[dict[str, Any]] = [
    {"item_id": "a", "title": "Red  cup", "created_at": datetime(2026, 1, 1)},
    {"item_id": "b", "title": "Spade", "description": "Blue."},
    {"item_id": "c", "title": "red cup"},
    {"item_id": "d", "title": " "},
]


@pytest.fixture(params=["duckdb", pytest.param("bigquery", marks=pytest.mark.e2e)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    return BigQueryWarehouse(project=request.getfixturevalue("fresh_gcp").project)


def landed(warehouse: Warehouse, encoder: TextEncoder, items: list[dict[str, Any]]) -> TextEmbeddings:
    warehouse.replace_table("raw", "items", pa.Table.from_pylist(items, RAW_ITEMS))
    found = TextEmbeddings.of(warehouse, encoder)
    found.land(warehouse)
    return found


def test_a_text_is_read_once_and_again_only_when_it_or_the_encoder_changes(warehouse: Warehouse, tmp_path: Path):
    encoder = TextEncoder.open(write_text_model(tmp_path / "model"))
    first = landed(warehouse, encoder, ITEMS)
    assert first.rows.schema == RAW_ITEM_TEXT_EMBEDDINGS
    assert first.rows["item_id"].to_pylist() == ["a", "b", "c"]  # of d nothing is said
    assert first.rows["created_at"].to_pylist() == [datetime(2026, 1, 1), None, None]
    assert first.rows["vector"][0].as_py() == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])
    assert set(zip(first.rows["name"].to_pylist(), first.rows["length"].to_pylist(), strict=True)) == {
        ("encoded_text", 4)
    }
    assert first.num_encoded == 3  # the case of a letter is another text

    again = landed(warehouse, encoder, ITEMS)
    assert again.num_encoded == 0
    assert again.rows.equals(first.rows)
    changed = landed(warehouse, encoder, [*ITEMS[:2], {"item_id": "c", "title": "blue cup"}])
    assert changed.num_encoded == 1
    assert changed.rows["vector"][2].as_py() == pytest.approx([-(0.5**0.5), 0.5**0.5, 0, 0])
    other = TextEncoder.open(write_text_model(tmp_path / "other", scale=2.0))
    assert landed(warehouse, other, ITEMS).num_encoded == 3
    stored = warehouse.query("select item_id, vector from raw.item_text_embeddings order by item_id")
    assert stored["item_id"].to_pylist() == ["a", "b", "c"]


def test_without_an_encoder_the_table_is_there_and_empty(warehouse: Warehouse):
    assert TextEncoderResource().open() is None
    TextEmbeddings.none().land(warehouse)
    found = warehouse.query("select * from raw.item_text_embeddings")
    assert found.cast(RAW_ITEM_TEXT_EMBEDDINGS).num_rows == 0


def test_an_encoder_that_is_named_and_not_there_stops_the_run(tmp_path: Path):
    with pytest.raises(
        PlatformError,
        match=r"AISLE_TEXT_ENCODER: A text encoder is a folder with model\.onnx and vocab\.txt\. Received",
    ):
        TextEncoderResource(path=str(tmp_path / "nowhere")).open()
