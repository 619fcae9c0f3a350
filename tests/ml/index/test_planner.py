"""The approximate index is judged by the exact one, and both keep one contract."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import ml.index.planner as planner
from ml.contract.errors import BundleError, ContractError, DataError
from ml.index.planner import BuiltIndex, IndexSettings, build_index, has_scann, recall
from ml.runtime.search import ExactIndex, PartitionedIndex, ScannIndex, open_index

NUM_ITEMS, DIMENSION = 3_000, 16

SETTINGS = {
    "exact": IndexSettings(kind="exact"),
    "scann": IndexSettings(kind="scann"),
    "partitioned": IndexSettings(kind="scann", items_per_part=1_000),
}
KINDS = [
    "exact",
    pytest.param("scann", marks=pytest.mark.scann),
    pytest.param("partitioned", marks=pytest.mark.scann),
]


def unit(rows: int, seed: int) -> np.ndarray:
    """Vectors in clusters, as items of categories are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(30, DIMENSION))
    vectors = centres[rng.integers(0, 30, rows)] + rng.normal(size=(rows, DIMENSION)) * 0.4
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = unit(NUM_ITEMS, 0), unit(200, 1)


@pytest.fixture(scope="module", params=KINDS)
def built(request) -> BuiltIndex:
    return build_index(VECTORS, QUERIES, settings=SETTINGS[request.param])


def test_the_index_meets_the_recall_target_it_reports(built):
    truth = ExactIndex(VECTORS).search(QUERIES, 100)[0]
    assert built.report.recall == pytest.approx(recall(built.index.search(QUERIES, 100)[0], truth))
    assert built.report.recall >= 0.95


def test_results_are_distinct_and_the_best_first(built):
    rows, scores = built.index.search(QUERIES, 50)
    assert rows.shape == scores.shape == (len(QUERIES), 50)
    assert rows.dtype == np.int32
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    assert all(len(set(row)) == 50 for row in rows.tolist())


def test_an_index_answers_the_same_after_its_folder_was_moved(built, tmp_path):
    built.save(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    again = BuiltIndex.load(tmp_path / "b")
    np.testing.assert_array_equal(again.index.search(QUERIES, 20)[0], built.index.search(QUERIES, 20)[0])
    assert again.report == built.report


def test_scores_are_products_with_the_vectors_themselves(built):
    rows, scores = built.index.search(QUERIES, 50)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", QUERIES, VECTORS[rows]), atol=1e-6)


@pytest.mark.scann
def test_no_vector_is_kept_twice(tmp_path):
    build_index(VECTORS, QUERIES, settings=SETTINGS["scann"]).save(tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "index" / "scann").iterdir()) < VECTORS.nbytes / 2


@pytest.mark.scann
def test_where_leaves_hold_too_few_items_one_of_them_fills_the_end():
    searcher = planner._scann_searcher(VECTORS, k=100)
    rows, scores = ScannIndex(searcher, VECTORS, leaves_to_search=1, reorder=200).search(QUERIES, 1_000)
    for found, products in zip(rows, scores, strict=True):
        missing = np.isneginf(products)
        assert 0 < missing.sum() < 1_000
        assert set(found[missing]) <= set(found[~missing])
        assert len(set(found[~missing])) == (~missing).sum()


@pytest.mark.scann
def test_an_index_of_before_vectors_were_kept_once_finds_the_same(tmp_path):
    from scann.scann_ops.py import scann_ops_pybind

    builder = scann_ops_pybind.builder(VECTORS, 100, "dot_product").tree(54, 5, training_sample_size=NUM_ITEMS)
    older = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(200).build()
    ScannIndex(older, VECTORS, leaves_to_search=20, reorder=200).save(tmp_path)
    rows, scores = open_index(tmp_path, VECTORS).search(QUERIES, 100)
    expected = older.search_batched(
        QUERIES, final_num_neighbors=100, pre_reorder_num_neighbors=200, leaves_to_search=20
    )
    for found, as_before in zip((rows, scores), expected, strict=True):
        np.testing.assert_allclose(found, as_before, atol=1e-6)


@pytest.mark.parametrize("k", [0, -1, 10_001])
def test_a_number_of_results_that_corrupts_native_memory_is_refused(built, k):
    with pytest.raises(ContractError, match=f"Received: {k}"):
        built.index.search(QUERIES, k)


@pytest.mark.parametrize("queries", [QUERIES[:, :8], QUERIES.astype(np.float64), QUERIES[0]])
def test_queries_of_another_shape_or_type_are_refused(built, queries):
    with pytest.raises(ContractError, match="Queries must be float32"):
        built.index.search(queries, 5)


def test_asking_for_more_than_there_is_gives_everything():
    rows, _ = ExactIndex(VECTORS[:7]).search(QUERIES[:2], 100)
    assert sorted(rows[0].tolist()) == list(range(7))


def test_equal_scores_are_ordered_by_row():
    same = np.ones((5, 2), np.float32)
    assert ExactIndex(same).search(np.ones((1, 2), np.float32), 5)[0][0].tolist() == [0, 1, 2, 3, 4]


def test_small_catalogues_are_searched_exactly():
    assert build_index(VECTORS, QUERIES, settings=IndexSettings()).report.kind == "exact"


@pytest.mark.scann
def test_large_catalogues_get_scann():
    built = build_index(VECTORS, QUERIES, settings=IndexSettings(exact_below=1_000))
    assert built.report.kind == ("scann" if has_scann() else "exact")


def test_a_platform_without_the_wheel_searches_exactly(monkeypatch):
    monkeypatch.setattr("ml.index.planner.has_scann", lambda: False)
    assert build_index(VECTORS, QUERIES, settings=IndexSettings(exact_below=1_000)).report.kind == "exact"


@pytest.mark.scann
def test_a_target_no_effort_reaches_is_an_error_not_a_worse_index(monkeypatch):
    monkeypatch.setattr("ml.index.planner._EFFORTS", ((0.01, 100),))
    with pytest.raises(DataError, match=r"must find 1\.00 of the nearest 100"):
        build_index(VECTORS, unit(200, 3)[:, ::-1].copy(), settings=IndexSettings(kind="scann", min_recall=1.0))


@pytest.mark.scann
def test_an_index_over_other_vectors_is_refused(tmp_path):
    build_index(VECTORS, QUERIES, settings=IndexSettings(kind="scann")).save(tmp_path)
    with pytest.raises(BundleError, match="built over 3000 x 16 vectors"):
        open_index(tmp_path / "index", VECTORS[:100])


@pytest.mark.scann
def test_the_parts_of_an_index_are_all_searched_and_merged():
    built = build_index(VECTORS, QUERIES, settings=SETTINGS["partitioned"])
    assert (built.report.kind, built.report.parts) == ("partitioned", 3)
    rows = built.index.search(QUERIES, 100)[0]
    assert set(np.unique(rows // 1_000)) == {0, 1, 2}


def test_merged_answers_are_those_of_one_exact_index():
    parts = tuple(ExactIndex(VECTORS[start : start + 1_000]) for start in range(0, NUM_ITEMS, 1_000))
    merged = PartitionedIndex(parts, (0, 1_000, 2_000, 3_000)).search(QUERIES, 50)
    for found, expected in zip(merged, ExactIndex(VECTORS).search(QUERIES, 50), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.scann
def test_a_partitioned_index_over_other_vectors_is_refused(tmp_path):
    build_index(VECTORS, QUERIES, settings=SETTINGS["partitioned"]).save(tmp_path)
    with pytest.raises(BundleError, match="built over 3000 vectors, the bundle holds 100"):
        open_index(tmp_path / "index", VECTORS[:100])


DIES_IN_THE_SECOND_PART = """
import os, signal, sys
from pathlib import Path
import ml.index.planner as planner
from tests.ml.index.test_planner import QUERIES, SETTINGS, VECTORS

whole, built = planner._scann_searcher, []
def searcher(vectors, *, k):
    if built:
        os.kill(os.getpid(), signal.SIGKILL)
    built.append(whole(vectors, k=k))
    return built[-1]
planner._scann_searcher = searcher
planner.build_index(VECTORS, QUERIES, settings=SETTINGS["partitioned"], folder=Path(sys.argv[1]))
"""


@pytest.mark.scann
@pytest.mark.e2e
def test_a_killed_build_goes_on_with_the_missing_parts(tmp_path, repository, monkeypatch):
    killed = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_SECOND_PART, str(tmp_path)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    whole, built = planner._scann_searcher, []
    monkeypatch.setattr(planner, "_scann_searcher", lambda rows, *, k: built.append(len(rows)) or whole(rows, k=k))

    resumed = build_index(VECTORS, QUERIES, settings=SETTINGS["partitioned"], folder=tmp_path)

    assert built == [1_000, 1_000]
    assert resumed.report.recall >= 0.95
    build_index(VECTORS, QUERIES, settings=SETTINGS["partitioned"], folder=tmp_path)
    assert len(built) == 2, "what is there is not built again"


@pytest.mark.scann
def test_parts_of_an_older_catalogue_are_forgotten(tmp_path):
    for vectors in (VECTORS, unit(NUM_ITEMS, 5)):
        build_index(vectors, QUERIES, settings=SETTINGS["partitioned"], folder=tmp_path)
    assert len([part for part in tmp_path.iterdir() if part.is_dir()]) == 3


def test_truth_is_the_same_however_few_queries_are_asked_at_once(monkeypatch):
    at_once = planner._exact_rows(VECTORS, QUERIES, 10)
    monkeypatch.setattr(planner, "SCORES_AT_ONCE", 7 * NUM_ITEMS)
    np.testing.assert_array_equal(planner._exact_rows(VECTORS, QUERIES, 10), at_once)
