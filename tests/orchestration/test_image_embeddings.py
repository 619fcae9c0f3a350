"""Vectors of the pictures of items."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ml.contract.columns import RAW_ITEM_IMAGE_EMBEDDINGS, RAW_ITEMS
from ml.contract.errors import PlatformError
from ml.dataset.pictures import PictureFolder
from ml.retrieval.image_encoder import ImageEncoder
from orchestration import image_embeddings
from orchestration.image_embeddings import ImageEmbeddings
from orchestration.resources.image_encoder import ImageEncoderResource
from orchestration.resources.warehouse import Warehouse
from orchestration.resources.warehouse_bigquery import BigQueryWarehouse
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse
from tests.pictures import BLUE, RED, picture


@dataclass(frozen=True)
class MeanColour(ImageEncoder):
    """A network of which one can say what it sees."""

    length = 3  # type: ignore[misc]

    def encode(self, pictures: list[Any]) -> np.ndarray:
        assert len(pictures) <= image_embeddings.BATCH
        return np.array([each.mean(axis=(0, 1)) / 255 for each in pictures], np.float32).reshape(-1, 3)


@pytest.fixture
def encoder(tmp_path: Path) -> MeanColour:
    return of_weights(tmp_path / "weights.h5", "some")


def of_weights(path: Path, content: str) -> MeanColour:
    path.write_text(content)
    return MeanColour.open(path)


@pytest.fixture
def folder(tmp_path: Path) -> PictureFolder:
    path = tmp_path / "pictures"
    path.mkdir()
    for name, colour in (("red.png", RED), ("same.png", RED), ("blue.png", BLUE)):
        (path / name).write_bytes(picture(colour))
    (path / "broken.png").write_bytes(picture()[:40])
    return PictureFolder.open(path)


@pytest.fixture(params=["duckdb", pytest.param("bigquery", marks=pytest.mark.e2e)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    return BigQueryWarehouse(project=request.getfixturevalue("fresh_gcp").project)


def landed(
    warehouse: Warehouse, encoder: ImageEncoder, folder: PictureFolder, items: list[dict[str, Any]]
) -> ImageEmbeddings:
    warehouse.replace_table("raw", "items", pa.Table.from_pylist(items, RAW_ITEMS))
    found = ImageEmbeddings.of(warehouse, encoder, folder)
    found.land(warehouse)
    return found


ITEMS: list[dict[str, Any]] = [
    {"item_id": "a", "image_path": "red.png", "created_at": datetime(2026, 1, 1)},
    {"item_id": "b", "image_path": "blue.png"},
    {"item_id": "c", "image_path": "broken.png"},
    {"item_id": "d", "image_path": " "},
    {"item_id": "e"},
    {"item_id": "f", "image_path": "nowhere.png"},
    {"item_id": "g", "image_path": "../weights.h5"},
    {"item_id": "h", "image_path": "same.png"},
    {"item_id": "i", "image_path": "red.png"},
]


def test_every_picture_has_its_vector_or_its_reason(warehouse: Warehouse, encoder: MeanColour, folder: PictureFolder):
    found = landed(warehouse, encoder, folder, ITEMS)
    assert found.rows.schema == RAW_ITEM_IMAGE_EMBEDDINGS
    told = {row["item_id"]: (row["vector"], row["reason"]) for row in found.rows.to_pylist()}
    assert told == {
        "a": ([1, 0, 0], None),
        "b": ([0, 0, 1], None),
        "c": ([], "unreadable_picture"),
        "f": ([], "missing_picture"),
        "g": ([], "picture_outside_folder"),
        "h": ([1, 0, 0], None),
        "i": ([1, 0, 0], None),
    }  # d and e name no picture
    assert found.rows["created_at"][0].as_py() == datetime(2026, 1, 1)
    assert set(found.rows["name"].to_pylist()) == {"encoded_image"}
    assert set(found.rows["length"].to_pylist()) == {3}
    assert found.summary() == {
        "dagster/row_count": 7,
        "encoded": 2,  # a, h and i show the same
        "unusable/unreadable_picture": 1,
        "unusable/missing_picture": 1,
        "unusable/picture_outside_folder": 1,
    }
    stored = warehouse.query("select * from raw.item_image_embeddings order by item_id")
    assert [row["vector"] for row in stored.to_pylist()] == [vector for vector, _ in told.values()]


def test_a_picture_is_encoded_again_only_when_it_or_the_weights_change(
    warehouse: Warehouse, encoder: MeanColour, folder: PictureFolder, tmp_path: Path
):
    first = landed(warehouse, encoder, folder, ITEMS)
    again = landed(warehouse, encoder, folder, ITEMS)
    assert again.num_encoded == 0
    assert again.rows.equals(first.rows)
    (folder.path / "red.png").write_bytes(picture((0, 255, 0)))
    changed = landed(warehouse, encoder, folder, [*ITEMS, {"item_id": "j", "image_path": "blue.png"}])
    assert changed.num_encoded == 1
    assert {row["item_id"]: row["vector"] for row in changed.rows.to_pylist() if row["item_id"] in "ahj"} == {
        "a": [0, 1, 0],
        "h": [1, 0, 0],
        "j": [0, 0, 1],
    }
    other = of_weights(tmp_path / "other.h5", "others")
    assert landed(warehouse, other, folder, ITEMS).num_encoded == 3


def test_a_picture_that_has_come_or_gone_counts_at_once(
    warehouse: Warehouse, encoder: MeanColour, folder: PictureFolder
):
    items = ITEMS[:2]
    (folder.path / "red.png").rename(folder.path / "away.png")
    assert landed(warehouse, encoder, folder, items).rows["reason"].to_pylist() == ["missing_picture", None]
    (folder.path / "away.png").rename(folder.path / "red.png")
    assert landed(warehouse, encoder, folder, items).rows["reason"].to_pylist() == [None, None]
    (folder.path / "blue.png").write_bytes(b"nothing")
    assert landed(warehouse, encoder, folder, items).rows["reason"].to_pylist() == [None, "unreadable_picture"]


def test_more_pictures_than_a_batch_keep_their_own_vectors(encoder: MeanColour, folder: PictureFolder, tmp_path: Path):
    shades = range(2 * image_embeddings.BATCH + 3)
    for shade in shades:
        (folder.path / f"{shade:03}.png").write_bytes(picture((0, 0, shade)))
    items = [{"item_id": f"{shade:03}", "image_path": f"{shade:03}.png"} for shade in shades]
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    half = landed(warehouse, encoder, folder, [*items[::2], *items[::2]])  # a catalogue may hold an item twice
    assert half.num_encoded == len(items[::2])
    found = landed(warehouse, encoder, folder, items)
    assert found.num_encoded == len(items[1::2])
    assert [vector[2] for vector in found.rows["vector"].to_pylist()] == pytest.approx(
        [shade / 255 for shade in shades]
    )


def test_without_weights_the_table_is_there_and_empty(warehouse: Warehouse):
    assert ImageEncoderResource().open() is None
    ImageEmbeddings.none().land(warehouse)
    assert warehouse.query("select * from raw.item_image_embeddings").cast(RAW_ITEM_IMAGE_EMBEDDINGS).num_rows == 0


def test_weights_or_a_folder_that_are_not_there_stop_the_run(tmp_path: Path):
    weights = tmp_path / "weights.h5"
    with pytest.raises(PlatformError, match=r"AISLE_IMAGE_WEIGHTS: Weights of EfficientNetB0 .* which is not there"):
        ImageEncoderResource(weights=str(weights), folder=str(tmp_path)).open()
    weights.write_text("some")
    with pytest.raises(PlatformError, match=r"AISLE_IMAGE_DIR: Pictures lie in a folder.* which is not there"):
        ImageEncoderResource(weights=str(weights), folder=str(tmp_path / "nowhere")).open()
