"""Vectors of items: as columns of the catalogue, and in the few numbers a tower sees."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.contract.columns import DIM_ITEM_EMBEDDINGS, DIM_ITEMS
from ml.contract.errors import DataError
from ml.features.embeddings import Directions, embedding, embedding_names, with_embeddings, without_embeddings

ITEMS = pa.Table.from_pylist([{"item_id": name} for name in ("hat", "mug", "pen")], schema=DIM_ITEMS)


def batches(*rows: tuple[str, str, list[float]], size: int = 2) -> list[pa.RecordBatch]:
    named = [dict(zip(("item_id", "name", "vector"), row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=DIM_ITEM_EMBEDDINGS).to_batches(max_chunksize=size)


def test_each_vector_column_is_a_column_of_unit_vectors_and_of_zeros_where_there_is_none():
    found = with_embeddings(
        ITEMS,
        batches(
            ("pen", "text", [0.0, -2.0, 0.0]),
            ("pen", "image", [3.0, 4.0]),
            ("gone", "image", [1.0, 1.0]),
            ("hat", "image", [1e300, 1e300]),
            ("mug", "image", [0.0, 0.0]),
        ),
    )
    assert embedding_names(found) == ("image", "text")
    np.testing.assert_allclose(embedding(found, "image"), [[0.5**0.5, 0.5**0.5], [0, 0], [0.6, 0.8]], atol=1e-3)
    np.testing.assert_array_equal(embedding(found, "text"), [[0, 0, 0], [0, 0, 0], [0, -1, 0]])
    assert without_embeddings(found).equals(ITEMS)


def test_a_shop_without_vectors_has_the_catalogue_it_had():
    assert with_embeddings(ITEMS, batches()) is ITEMS
    assert embedding_names(ITEMS) == ()


def test_vectors_survive_sorting_filtering_slicing_and_files():
    found = with_embeddings(ITEMS, batches(("hat", "text", [1.0, 0.0]), ("pen", "text", [0.0, 1.0])))
    shuffled = pa.concat_tables([found.slice(2), found.slice(0, 2)])
    file = io.BytesIO()
    pq.write_table(shuffled.sort_by("item_id").filter(pa.array([True, False, True])), file, compression="zstd")
    np.testing.assert_array_equal(embedding(pq.read_table(file), "text"), np.eye(2))
    np.testing.assert_array_equal(embedding(shuffled, "text"), [[0, 1], [1, 0], [0, 0]])
    assert embedding(found.slice(0, 0), "text").shape == (0, 2)


def test_vectors_of_two_lengths_under_one_name_are_refused():
    with pytest.raises(DataError, match=r"`text` must all be of one length\. Received: 2, 3\. Rebuild"):
        with_embeddings(ITEMS, batches(("hat", "text", [1.0, 0.0]), ("pen", "text", [0.0, 1.0, 1.0])))
    with pytest.raises(DataError, match=r"`text` must all be of one length\. Received: 2, 3\. Rebuild"):
        with_embeddings(ITEMS, batches(("hat", "text", [1.0, 0.0]), ("pen", "text", [0.0, 1.0, 1.0]), size=1))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_directions_keep_of_the_differences_what_so_few_numbers_can():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(30, 2)))[0]
    vectors = unit(5 * plane[:, 0] + rng.normal(size=(200, 2)) @ plane.T + 0.01 * rng.normal(size=(200, 30)))
    directions = Directions.fit(vectors, at_most=2)
    assert (directions.length, directions.kept) == (30, 2)
    found = directions.along(vectors)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    assert np.mean(found**2) == pytest.approx(1, rel=1e-3)
    # What two numbers say of how far two items are apart is what all thirty say.
    apart, said = (np.linalg.norm(each[:100] - each[100:], axis=1) for each in (vectors, found))
    assert np.corrcoef(apart, said)[0, 1] > 0.99


def test_items_without_a_vector_are_told_apart_and_play_no_part_in_the_fit():
    vectors = unit(np.random.default_rng(1).normal(size=(20, 4)))
    some = np.concatenate([vectors, np.zeros((50, 4), np.float32)])
    alone, among = (Directions.fit(each, at_most=4) for each in (vectors, some))
    np.testing.assert_array_equal(alone.axes, among.axes)
    assert not among.along(some)[20:].any()
    items = pa.Table.from_pylist([{"item_id": f"{n:02d}"} for n in range(70)], schema=DIM_ITEMS)
    rows = [(f"{n:02d}", "text", list(map(float, vectors[n]))) for n in range(20)]
    seen = among.seen(with_embeddings(items, batches(*rows)), "text")
    assert seen[:, 0].tolist() == [1.0] * 20 + [0.0] * 50
    np.testing.assert_allclose(seen[:20, 1:], among.along(vectors), atol=0.02)  # halves
    assert not seen[20:].any()


@pytest.mark.parametrize("vectors", [np.zeros((3, 4), np.float32), unit(np.ones((1, 4)))])
def test_where_nothing_differs_nothing_is_said(vectors: np.ndarray):
    directions = Directions.fit(vectors, at_most=2)
    assert np.isfinite(directions.axes).all()
    np.testing.assert_allclose(directions.along(vectors), 0, atol=1e-6)


def test_a_column_that_is_gone_or_of_another_length_says_nothing():
    directions = Directions.fit(unit(np.random.default_rng(2).normal(size=(9, 3))), at_most=2)
    longer = with_embeddings(ITEMS, batches(("hat", "text", [1.0, 0.0, 0.0, 1.0])))
    for items in (ITEMS, longer):
        np.testing.assert_array_equal(directions.seen(items, "text"), np.zeros((3, 3)))


def test_directions_are_the_same_after_saving(tmp_path: Path):
    vectors = unit(np.random.default_rng(3).normal(size=(9, 5)))
    directions = Directions.fit(vectors, at_most=3)
    directions.save(tmp_path / "text.npz")
    np.testing.assert_array_equal(Directions.load(tmp_path / "text.npz").along(vectors), directions.along(vectors))
