from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ml.runtime.sparse_scores import SparseScores


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5_000, 3_000).astype(np.int32), rng.normal(size=3_000).astype(np.float32)


def by_hand(rows: np.ndarray, scores: np.ndarray) -> dict[int, float]:
    sums: dict[int, float] = {}
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        sums[row] = sums.get(row, 0.0) + score
    return {row: float(np.float32(sums[row])) for row in sorted(sums)}


def test_rows_are_added_up_and_nothing_is_left_for_the_next_sum():
    for seed in range(5):
        found = SparseScores.summed(*drawn(seed))
        assert dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True)) == by_hand(*drawn(seed))


def test_threads_do_not_add_to_each_others_sums():
    with ThreadPoolExecutor(4) as pool:
        for seed, found in zip(
            range(40), pool.map(lambda seed: SparseScores.summed(*drawn(seed)), range(40)), strict=True
        ):
            assert found.scores.tolist() == list(by_hand(*drawn(seed)).values())


def test_nothing_adds_up_to_nothing():
    assert len(SparseScores.summed(np.empty(0, np.int32), np.empty(0, np.float32)).rows) == 0


@pytest.mark.parametrize("k", [0, 1, 3, 4, 10])
def test_the_top_are_the_best_positive_ones_and_the_lower_row_wins_a_tie(k):
    scored = SparseScores(np.array([1, 4, 5, 7, 9], np.int32), np.array([2, 3, 2, -1, 2], np.float32))
    assert scored.top(k, np.ones(10, np.bool_)).tolist() == [4, 1, 5, 9][:k]


def test_what_is_forbidden_takes_no_place_among_the_top():
    scored = SparseScores(np.array([1, 4, 5], np.int32), np.array([2, 3, 1], np.float32))
    allowed = np.array([True, True, True, True, False, True])
    assert scored.top(2, allowed).tolist() == [1, 5]
