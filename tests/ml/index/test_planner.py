"""The approximate index is judged by the exact one, and both keep one contract."""

import shutil

import numpy as np
import pytest

from ml.contract.errors import BundleError, ContractError, DataError
from ml.index.planner import BuiltIndex, IndexSettings, build_index, has_scann, recall
from ml.runtime.search import ExactIndex, open_index

NUM_ITEMS, DIMENSION = 3_000, 16

KINDS = ["exact", pytest.param("scann", marks=pytest.mark.scann)]


def unit(rows: int, seed: int) -> np.ndarray:
    """Vectors in clusters, as items of categories are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(30, DIMENSION))
    vectors = centres[rng.integers(0, 30, rows)] + rng.normal(size=(rows, DIMENSION)) * 0.4
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = unit(NUM_ITEMS, 0), unit(200, 1)


@pytest.fixture(scope="module", params=KINDS)
def built(request) -> BuiltIndex:
    return build_index(VECTORS, QUERIES, settings=IndexSettings(kind=request.param))


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
