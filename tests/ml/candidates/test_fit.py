"""Source tables against the formulas they stand for."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from ml.candidates.fit import content, fit_sources, item_knn, item_users, next_items, popularity
from ml.candidates.likeness import alike, ease
from ml.candidates.low_rank import ITEMS_ADDED, USERS_ADDED, item_factors, leading
from ml.candidates.matrices import interest_matrix, newest_of_each_user
from ml.candidates.settings import SourceSettings
from ml.contract.errors import DataError
from ml.contract.events import EventType
from ml.features.log import InteractionLog
from ml.runtime.candidates import TABLES, SourceTables
from ml.runtime.interest import Interest
from ml.runtime.items import ItemTable
from ml.runtime.neighbours import NeighbourTable

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
    table = ease(sparse.csr_array(interest), settings=SourceSettings(ease_l2=3.0))
    found = np.zeros((8, 8))
    for item in range(8):
        rows, weights = table.of(item)
        found[item, rows] = weights
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_leaves_out_items_beyond_its_size():
    interest = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], np.float32))
    table = ease(interest, settings=SourceSettings(ease_max_items=2))
    assert set(table.rows) <= {0, 1}
    assert len(table.of(2)[0]) == 0
    assert table.num_linked == 2


def test_ease_says_what_is_wrong_when_its_matrix_has_no_inverse():
    twins = sparse.csr_array(np.ones((3, 2), np.float32))  # two items that nobody tells apart
    with pytest.raises(DataError, match=r"Raise `sources\.ease_l2`"):
        ease(twins, settings=SourceSettings(ease_l2=1e-30))


def test_of_equally_alike_items_the_first_are_kept():
    everybody_has_all = sparse.csr_array(np.ones((2, 6), np.float32))
    table = cosine(everybody_has_all, neighbours=2)
    assert [table.of(item)[0].tolist() for item in range(3)] == [[1, 2], [0, 2], [0, 1]]


def test_the_strongest_neighbours_are_those_of_sorting_all_of_them():
    rng = np.random.default_rng(1)
    matrix = sparse.csr_array((rng.random((40, 30)) < 0.3).astype(np.float32))
    table, all_of_them = cosine(matrix, neighbours=5), cosine(matrix, neighbours=30)
    for item in range(30):
        rows, weights = all_of_them.of(item)
        best = np.lexsort((rows, -weights))[:5]
        assert dict(zip(*table.of(item), strict=True)) == dict(zip(rows[best], weights[best], strict=True))


def cosine(matrix: sparse.csr_array, *, neighbours: int, shrinkage: float = 0.0) -> NeighbourTable:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0), np.float32).ravel())
    return alike(matrix, matrix, norms=(norms, norms), neighbours=neighbours, shrinkage=shrinkage)


def test_cosine_of_items_bought_together_by_everyone_is_one():
    table = cosine(sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]], np.float32)), neighbours=2)
    rows, weights = table.of(0)
    assert rows.tolist() == [1, 2]
    assert weights.tolist() == pytest.approx([1.0, 1 / np.sqrt(2)])


def test_shrinkage_holds_back_a_lucky_pair():
    pair = cosine(sparse.csr_array(np.ones((1, 2), np.float32)), neighbours=1, shrinkage=10.0)
    assert pair.of(0)[1].tolist() == pytest.approx([1 / (1 + 10)])


def test_blocks_do_not_change_the_neighbours(monkeypatch):
    matrix = sparse.random_array((200, 50), density=0.2, random_state=1, dtype=np.float32, format="csr")
    whole = cosine(matrix, neighbours=5, shrinkage=1.0)
    monkeypatch.setattr("ml.candidates.likeness.BLOCK", 7)
    in_blocks = cosine(matrix, neighbours=5, shrinkage=1.0)
    np.testing.assert_array_equal(in_blocks.rows, whole.rows)
    np.testing.assert_allclose(in_blocks.weights, whole.weights, rtol=1e-5)


def test_a_user_of_many_items_says_less_about_each():
    """Items 0 and 1 meet at a user of two items, items 0 and 2 at one of four."""
    interest = sparse.csr_array(np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 1]], np.float32))
    bare = SourceSettings(knn_user_shrinkage=0, knn_item_shrinkage=0)
    for settings, of_user, of_item in ((bare, 0, 0), (SourceSettings(), 16, 8)):
        weights = dict(zip(*(part.tolist() for part in item_knn(interest, settings=settings).of(0)), strict=True))
        norms = np.sqrt((2 + of_item) * (1 + of_item))
        assert weights[1] == pytest.approx(1 / (2 + of_user) / norms)
        assert weights[2] == pytest.approx(1 / (4 + of_user) / norms)


def test_next_items_know_before_from_after():
    events = log((0, 0, EventType.PURCHASE, 3, 0), (0, 1, EventType.PURCHASE, 2, 1), (0, 2, EventType.PURCHASE, 1, 2))
    table = next_items(events, num_items=3, cut=CUT, settings=SourceSettings(next_shrinkage=0))
    assert table.of(0)[0].tolist() == [1, 2]
    assert table.of(1)[0].tolist() == [2]
    assert table.of(2)[0].tolist() == []


def test_what_came_right_after_weighs_twice_what_came_one_moment_later():
    events = log(*((user, item, EventType.VIEW, 3 - item, -1) for user in range(4) for item in range(3)))
    followed = next_items(events, num_items=3, cut=CUT, settings=SourceSettings(next_shrinkage=1e9))
    first, second = followed.of(0)[1].tolist()
    assert first == pytest.approx(2 * second)


def test_items_of_one_order_do_not_follow_each_other_nor_do_those_of_two_users():
    events = log((0, 0, EventType.PURCHASE, 2, 0), (0, 1, EventType.PURCHASE, 2, 0), (1, 2, EventType.PURCHASE, 1, 1))
    assert next_items(events, num_items=3, cut=CUT, settings=SourceSettings()).num_linked == 0


def test_what_followed_lately_counts_more_than_what_followed_long_ago():
    old = [(0, 0, EventType.VIEW, 300, -1), (0, 1, EventType.VIEW, 299, -1)]
    new = [(1, 0, EventType.VIEW, 2, -1), (1, 2, EventType.VIEW, 1, -1)]
    assert next_items(log(*old, *new), num_items=3, cut=CUT, settings=SourceSettings()).of(0)[0].tolist() == [2, 1]


def items(**columns: list[str | None]) -> ItemTable:
    size = len(next(iter(columns.values())))
    schema = pa.schema(
        [(name, pa.string()) for name in ("item_id", "title", "category", "sub_category", "brand", "seller_id")]
    )
    given = {"item_id": [f"i{row}" for row in range(size)], **columns}
    return ItemTable(pa.table({name: given.get(name, [None] * size) for name in schema.names}, schema=schema))


def test_items_described_in_the_same_rare_words_are_nearest():
    table = content(items(title=["red cup", "blue cup", "red cup", "steel spade"]), settings=SourceSettings())
    assert table.of(0)[0].tolist() == [2, 1]
    assert len(table.of(3)[0]) == 0


def test_a_brand_is_another_word_than_the_same_word_in_a_title():
    described = items(title=["apple", None, None], brand=[None, "apple", "apple"])
    table = content(described, settings=SourceSettings())
    assert table.of(1)[0].tolist() == [2]
    assert len(table.of(0)[0]) == 0


def test_words_of_most_items_are_left_out_first():
    described = items(title=["cup red", "cup red", "cup blue", "cup green"])
    table = content(described, settings=SourceSettings(content_pairs=2 * 2 + 1 + 1))
    assert table.of(0)[0].tolist() == [1]
    assert len(table.of(2)[0]) == 0


def test_nothing_is_alike_where_nothing_is_said():
    assert content(items(title=[None, None]), settings=SourceSettings()).num_linked == 0


def test_factors_of_full_rank_are_the_filter_they_are_cut_from():
    rng = np.random.default_rng(3)
    chosen = (rng.random((30, 6)) < 0.4).astype(np.float32)
    chosen[0] = 1
    factors = item_factors(sparse.csr_array(chosen), rank=6)
    liked, every = np.array([1, 4], np.int32), np.arange(6, dtype=np.int32)
    # Of full rank the directions are a whole basis: V V' is 1, and an item is like itself alone, more so if it is common.
    expected = np.zeros(6)
    expected[liked] = np.array([1.0, 0.5]) * (chosen.sum(axis=0)[liked] + ITEMS_ADDED) ** 0.25
    found = factors.scores(Interest(liked, np.array([1.0, 0.5], np.float32)), every)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_of_two_circles_the_factors_know_each_item_by_its_own():
    circles = np.kron(np.eye(2), np.ones((5, 4))).astype(np.float32)
    factors = item_factors(sparse.csr_array(circles), rank=2)
    found = factors.scores(Interest(np.array([0], np.int32), np.ones(1, np.float32)), np.arange(8, dtype=np.int32))
    # A quarter of an item's direction is each item of its circle; five users chose it.
    np.testing.assert_allclose(found, [(5 + ITEMS_ADDED) ** 0.25 / 4] * 4 + [0] * 4, atol=1e-3)


@pytest.mark.parametrize(("items", "rank"), [(1, 1), (80, 10), (800, 12), (5_000, 2), (50_000, 1)])
def test_a_catalogue_keeps_as_many_directions_as_its_size_bears(items: int, rank: int) -> None:
    assert SourceSettings(spectral_rank=100, spectral_numbers=10_000).directions_of(items) == rank


@pytest.mark.parametrize(("items", "users"), [(1, 100), (80, 100), (200, 50), (50_000, 1)])
def test_a_catalogue_keeps_as_many_users_of_an_item_as_its_size_bears(items: int, users: int) -> None:
    assert SourceSettings(knn_users=100, knn_pairs=10_000).users_of(items) == users


def test_of_a_crowd_those_who_chose_little_else_are_kept() -> None:
    chosen = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], np.float32)
    table = item_users(sparse.csr_array(chosen), most=2)
    of_each = [set(table.users[start:end].tolist()) for start, end in zip(table.starts, table.starts[1:], strict=False)]
    assert of_each == [{1, 2}, {0, 2}, {0}, {0, 3}]
    whole = item_users(sparse.csr_array(chosen), most=4)
    per_user, per_item = chosen.sum(axis=1) + USERS_ADDED, chosen.sum(axis=0) + ITEMS_ADDED
    found = np.zeros(chosen.T.shape)
    found[np.repeat(np.arange(4), np.diff(whole.starts)), whole.users] = whole.weights
    np.testing.assert_allclose(found, (chosen / np.sqrt(per_user[:, None] * per_item)).T, rtol=1e-6)


def test_directions_of_many_users_are_the_same_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = sparse.csr_array((np.random.default_rng(0).random((60, 12)) < 0.3).astype(np.float32))
    whole = leading(chosen, 5, seed=0)
    monkeypatch.setattr("ml.candidates.low_rank.NUMBERS_AT_ONCE", 12 * 7)
    np.testing.assert_allclose(leading(chosen, 5, seed=0), whole, atol=1e-4)


def test_one_user_makes_items_less_alike_than_ten_do() -> None:
    events = log(
        *((user, item, EventType.PURCHASE, 0, user) for user in range(10) for item in (0, 1)),
        (10, 2, EventType.PURCHASE, 0, 10),
        (10, 3, EventType.PURCHASE, 0, 10),
    )
    newest = interest_matrix(events, num_items=4)
    table = item_knn(newest, settings=SourceSettings())
    assert table.of(0)[1][0] > 2 * table.of(2)[1][0]
    bare = item_knn(newest, settings=SourceSettings(knn_user_shrinkage=0, knn_item_shrinkage=0))
    assert bare.of(0)[1][0] == pytest.approx(bare.of(2)[1][0], rel=1e-4)


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
    tables = fit_sources(events, items(title=[None, None]), cut=CUT, settings=SourceSettings())
    assert tables.neighbours["item_knn"].num_linked == 0


def test_of_a_robot_only_the_newest_events_are_learned_from():
    robot = [(0, item, EventType.VIEW, 50 - item, -1) for item in range(50)]
    person = [(1, item, EventType.VIEW, 2, -1) for item in (3, 4)]
    kept = newest_of_each_user(log(*robot, *person), 5)
    assert kept.item_rows[kept.user_rows == 0].tolist() == [45, 46, 47, 48, 49]
    assert kept.item_rows[kept.user_rows == 1].tolist() == [3, 4]
    assert (np.diff(kept.occurred_at) >= 0).all()
    few = SourceSettings(events_per_user=5)
    tables = fit_sources(log(*robot, *person), items(title=[None] * 50), cut=CUT, settings=few)
    assert tables.neighbours["item_knn"].num_linked == 2 + 5
    assert tables.popularity.all_time[0] > 0


def test_tables_answer_the_same_after_they_were_saved(tmp_path):
    events = log(*((user, item, EventType.PURCHASE, user, user) for user in range(6) for item in range(user, user + 3)))
    tables = fit_sources(events, items(title=["one two"] * 9), cut=CUT, settings=SourceSettings())
    tables.save(tmp_path)
    again = SourceTables.load(tmp_path)
    assert set(again.neighbours) == set(TABLES)
    for name, table in tables.neighbours.items():
        for part in ("starts", "rows", "weights"):
            np.testing.assert_array_equal(getattr(again.neighbours[name], part), getattr(table, part))
    np.testing.assert_array_equal(again.factors.vectors, tables.factors.vectors)
    np.testing.assert_array_equal(again.factors.says, tables.factors.says)
    np.testing.assert_array_equal(again.popularity.order, tables.popularity.order)
