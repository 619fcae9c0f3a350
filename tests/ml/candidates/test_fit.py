"""Source tables against the formulas they stand for."""

import numpy as np
import pytest
from scipy import sparse

from ml.candidates.fit import cosine, ease, fit_sources, popularity
from ml.candidates.settings import SourceSettings
from ml.contract.events import EventType
from ml.features.log import InteractionLog
from ml.runtime.candidates import SourceTables

CUT = 1_000_000
DAY = 86_400


def log(*events: tuple[int, int, EventType, int, int]) -> InteractionLog:
    """Of (user, item, event type, days before the cut, basket)."""
    users, items, types, ages, baskets = zip(*sorted(events, key=lambda event: -event[3]), strict=True)
    at = np.array([CUT - age * DAY for age in ages], np.int64)
    return InteractionLog(
        user_rows=np.array(users, np.int32),
        item_rows=np.array(items, np.int32),
        event_codes=np.array([event_type.code for event_type in types], np.int8),
        occurred_at=at,
        known_at=at,
        quantity=np.ones(len(at), np.float32),
        amount=np.full(len(at), np.nan, np.float32),
        basket_rows=np.array(baskets, np.int32),
    )


def test_ease_weights_are_those_of_the_closed_form():
    rng = np.random.default_rng(0)
    interest = (rng.random((50, 8)) < 0.3).astype(np.float32)
    inverse = np.linalg.inv(interest.T @ interest + 3.0 * np.eye(8))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    table = ease(sparse.csr_matrix(interest), settings=SourceSettings(ease_l2=3.0))
    found = np.zeros((8, 8))
    for item in range(8):
        rows, weights = table.of(item)
        found[item, rows] = weights
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_leaves_out_items_beyond_its_size():
    interest = sparse.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], np.float32))
    table = ease(interest, settings=SourceSettings(ease_max_items=2))
    assert set(table.rows) <= {0, 1}
    assert len(table.of(2)[0]) == 0
    assert table.num_linked == 2


def test_cosine_of_items_bought_together_by_everyone_is_one():
    matrix = sparse.csr_matrix(np.array([[1, 1, 0], [1, 1, 1]], np.float32))
    table = cosine(matrix, neighbours=2, shrinkage=0.0)
    rows, weights = table.of(0)
    assert rows.tolist() == [1, 2]
    assert weights.tolist() == pytest.approx([1.0, 1 / np.sqrt(2)])


def test_shrinkage_holds_back_a_lucky_pair():
    pair = cosine(sparse.csr_matrix(np.ones((1, 2), np.float32)), neighbours=1, shrinkage=10.0)
    assert pair.of(0)[1].tolist() == pytest.approx([1 / (1 + 10)])


def test_blocks_do_not_change_the_neighbours(monkeypatch):
    matrix = sparse.random(200, 50, density=0.2, random_state=1, dtype=np.float32, format="csr")
    whole = cosine(matrix, neighbours=5, shrinkage=1.0)
    monkeypatch.setattr("ml.candidates.fit.BLOCK", 7)
    in_blocks = cosine(matrix, neighbours=5, shrinkage=1.0)
    np.testing.assert_array_equal(in_blocks.rows, whole.rows)
    np.testing.assert_allclose(in_blocks.weights, whole.weights, rtol=1e-5)


def test_recent_popularity_decays_and_returns_do_not_count_against_it():
    events = log((0, 0, EventType.PURCHASE, 7, 0), (1, 1, EventType.PURCHASE, 0, 1), (1, 1, EventType.RETURN, 0, 1))
    found = popularity(events, num_items=2, cut=CUT, decay_days=7.0)
    np.testing.assert_allclose(found.recent, [5 * np.exp(-1), 5], rtol=1e-5)
    np.testing.assert_allclose(found.all_time, [5, 5])


def test_what_was_returned_is_no_longer_an_interest():
    events = log(
        (0, 0, EventType.VIEW, 1, 0),
        (0, 0, EventType.RETURN, 0, 0),
        (0, 1, EventType.PURCHASE, 0, 0),
        (1, 1, EventType.VIEW, 0, 1),
    )
    tables = fit_sources(events, num_items=2, cut=CUT, interest_decay_days=60, settings=SourceSettings())
    assert tables.item_knn.num_linked == 0


def test_tables_answer_the_same_after_they_were_saved(tmp_path):
    events = log(*((user, item, EventType.PURCHASE, user, user) for user in range(6) for item in range(user, user + 3)))
    tables = fit_sources(events, num_items=9, cut=CUT, interest_decay_days=60, settings=SourceSettings())
    tables.save(tmp_path)
    again = SourceTables.load(tmp_path)
    for name in ("ease", "item_knn", "bought_together"):
        for part in ("starts", "rows", "weights"):
            np.testing.assert_array_equal(getattr(getattr(again, name), part), getattr(getattr(tables, name), part))
    np.testing.assert_array_equal(again.popularity.order, tables.popularity.order)
