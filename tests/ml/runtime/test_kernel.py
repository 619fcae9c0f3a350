"""What is compiled and its twin in NumPy give the same numbers, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.columns import USER_FEATURES
from ml.contract.errors import ContractError
from ml.contract.events import EVENT_TYPES
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime import (
    blocks,
    candidates,
    enrich,
    interest,
    item_users,
    kernel,
    likeness,
    order,
    places,
    rules,
    sources,
    sparse_scores,
)
from ml.runtime.blocks import Taken, Written
from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.item_users import ItemUsers
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.places import Spread
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.sources import Neighbours, Source
from ml.runtime.sparse_scores import SparseScores
from ml.runtime.towers import HeadPredictions
from tests import world
from tests.ml.runtime.shops import EFFORT
from tools import build_kernel

NOW = 1_000 * SECONDS_PER_DAY
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> kernel.Kernel:
    """Built from the sources as they are now."""
    assert build_kernel.build(), "These tests need a C compiler: apt-get install gcc libc6-dev"
    kernel.compiled.cache_clear()
    return kernel.compiled()


def without_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (candidates, enrich, interest, item_users, likeness, order, places, rules, sources, sparse_scores):
        monkeypatch.setattr(module, "compiled", lambda: None)


def some_rows(rng: np.random.Generator, catalogue: int, *, distinct: bool = False) -> np.ndarray:
    drawn = rng.integers(0, catalogue, rng.integers(0, 40)).astype(np.int32)
    return np.unique(drawn) if distinct else drawn


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Of both signs, many of them equal, some 0."""
    return (rng.integers(-2, 6, shape) / 4).astype(np.float32)


def table(rng: np.random.Generator, catalogue: int) -> NeighbourTable:
    items = np.sort(rng.integers(0, catalogue, rng.integers(0, 300)))
    return NeighbourTable.of_pairs(
        items, rng.integers(0, catalogue, len(items)), numbers(rng, len(items)), num_items=catalogue
    )


def a_source(rng: np.random.Generator, catalogue: int) -> Source:
    at_most, kind = int(rng.integers(0, 30)), rng.integers(0, 4)
    rows = some_rows(rng, catalogue, distinct=True)
    if kind == 0:
        return Source(Neighbours(table(rng, catalogue), rows, numbers(rng, len(rows))), at_most)
    if kind == 1:
        return Source(SparseScores(rows, numbers(rng, len(rows))), at_most)
    proposals = some_rows(rng, catalogue)
    return Source(numbers(rng, catalogue) if kind == 2 else None, proposals=proposals)


@EFFORT
@given(SEEDS, st.integers(1, 12), st.integers(1, 80))
def test_any_number_of_sources_is_joined_alike(seed, num_sources, catalogue):
    rng = np.random.default_rng(seed)
    said = [a_source(rng, catalogue) for _ in range(num_sources)]
    named, allowed = some_rows(rng, catalogue), rng.random(catalogue) < 0.8
    ours = sources.by_kernel(said, named, allowed, kernel.compiled())
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_kernel(monkeypatch)
        twin = sources.by_numpy(said, named, allowed)
    np.testing.assert_array_equal(ours.rows, twin.rows)
    np.testing.assert_array_equal(ours.scores, twin.scores)
    np.testing.assert_array_equal(ours.proposed, twin.proposed)


def test_a_source_of_many_neighbours_is_joined_alike():
    """More than fits beside each other: the best are chosen of thousands, the candidates sorted by bytes."""
    rng, catalogue = np.random.default_rng(1), 70_000
    items = np.sort(rng.integers(0, catalogue, 400_000))
    neighbours = NeighbourTable.of_pairs(
        items, rng.integers(0, catalogue, len(items)), rng.random(len(items)), num_items=catalogue
    )
    rows = np.unique(rng.integers(0, catalogue, 900)).astype(np.int32)
    said = [Source(Neighbours(neighbours, rows, rng.random(len(rows)).astype(np.float32)), at_most=700)]
    allowed = np.ones(catalogue, np.bool_)
    ours = sources.by_kernel(said, rows[:9], allowed, kernel.compiled())
    twin = sources.by_numpy(said, rows[:9], allowed)
    assert len(ours.rows) > 700
    np.testing.assert_array_equal(ours.rows, twin.rows)
    np.testing.assert_array_equal(ours.scores, twin.scores)


def a_history(rng: np.random.Generator, catalogue: int, most: int = 120) -> History:
    count = int(rng.integers(0, most))
    return History(
        rng.integers(0, catalogue, count).astype(np.int32),
        rng.integers(0, len(EVENT_TYPES), count).astype(np.int8),
        np.sort(NOW - rng.integers(0, 90 * SECONDS_PER_DAY, count)).astype(np.int64),
        rng.integers(1, 4, count).astype(np.float32),
    )


def some_candidates(rng: np.random.Generator, catalogue: int, *, most: int = 60) -> Candidates:
    rows = np.unique(rng.integers(0, catalogue, rng.integers(0, most))).astype(np.int32)
    scores = numbers(rng, len(rows), len(SOURCES))
    return Candidates(rows, scores, rng.random(scores.shape) < 0.3)


def an_asking(rng: np.random.Generator, catalogue: int) -> enrich.Asking:
    found = some_candidates(rng, catalogue)
    predicted = [numbers(rng, len(found.rows)) for _ in range(3)]
    facts = numbers(rng, catalogue, len(enrich.ITEM_FACTS))
    facts[:, enrich.ITEM_FACTS.index("days_between_purchases")] = rng.random(catalogue) + 0.5
    facts[:, -1] = np.where(rng.random(catalogue) < 0.2, np.nan, rng.random(catalogue))
    return enrich.Asking(
        candidates=found,
        history=a_history(rng, catalogue),
        user_features=numbers(rng, len(USER_FEATURES)),
        facts=facts,
        kinds=rng.integers(-1, 9, (catalogue, len(enrich.AFFINITIES))).astype(np.int32),
        heads=HeadPredictions(*predicted),
        at=NOW,
    )


@EFFORT
@given(SEEDS, st.integers(1, 20))
def test_a_history_is_read_alike(seed, newest_items):
    rng = np.random.default_rng(seed)
    history = a_history(rng, 30)
    history = history.taken(np.repeat(np.arange(len(history)), rng.integers(0, 3, len(history))))
    faded = numbers(rng, len(history))
    ours = interest.read_by_kernel(history, faded, newest_items, kernel=kernel.compiled())
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_kernel(monkeypatch)
        twin = interest.read_by_numpy(history, faded, newest_items)
    for name, values in ours._asdict().items():
        np.testing.assert_array_equal(values, getattr(twin, name), err_msg=name)


@EFFORT
@given(SEEDS, st.integers(2, 40))
def test_two_sources_that_ask_one_table_are_joined_as_each_by_itself(seed, catalogue):
    rng = np.random.default_rng(seed)
    asked = table(rng, catalogue)
    rows = [some_rows(rng, catalogue, distinct=True) for _ in range(3)]
    rows[int(rng.integers(0, 3))] = rng.permutation(catalogue)[:5].astype(np.int32)  # not ascending: asked by itself
    said = [Source(Neighbours(asked, each, numbers(rng, len(each))), int(rng.integers(0, 30))) for each in rows]
    allowed = rng.random(catalogue) < 0.8
    ours = sources.by_kernel(said, np.empty(0, np.int32), allowed, kernel.compiled())
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_kernel(monkeypatch)
        twin = sources.by_numpy(said, np.empty(0, np.int32), allowed)
    np.testing.assert_array_equal(ours.rows, twin.rows)
    np.testing.assert_array_equal(ours.scores, twin.scores)
    np.testing.assert_array_equal(ours.proposed, twin.proposed)


@EFFORT
@given(SEEDS, st.integers(1, 60))
def test_the_features_of_a_request_are_alike(seed, catalogue):
    asking = an_asking(np.random.default_rng(seed), catalogue)
    ours = asking.by_kernel(kernel.compiled())
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_kernel(monkeypatch)
        np.testing.assert_array_equal(ours, asking.by_numpy())


@EFFORT
@given(SEEDS, st.integers(0, 200), st.integers(1, 9))
def test_shares_and_ranks_are_alike(seed, num_rows, num_sources):
    scores = numbers(np.random.default_rng(seed), num_rows, num_sources)
    for ours, twin in zip(
        candidates.ranks_by_kernel(scores, kernel.compiled()), candidates.ranks_by_numpy(scores), strict=True
    ):
        np.testing.assert_array_equal(ours, twin)
    shares = candidates.shares_of_best(scores)
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_kernel(monkeypatch)
        np.testing.assert_array_equal(shares, candidates.shares_of_best(scores))


@EFFORT
@given(SEEDS, st.integers(1, 60))
def test_the_best_candidates_are_chosen_alike(seed, most):
    rng = np.random.default_rng(seed)
    every, named = some_candidates(rng, 100, most=200), some_rows(rng, 100, distinct=True)
    ours = every.best(most, named=named)
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_kernel(monkeypatch)
        twin = every.best(most, named=named)
    for name in ("rows", "scores", "proposed", "shares", "ranks"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(twin, name))


@EFFORT
@given(SEEDS)
def test_people_alike_are_added_up_in_one_order(seed):
    rng = np.random.default_rng(seed)
    num_items, num_users = rng.integers(1, 30, 2)
    wants = rng.random((num_items, num_users)) < 0.4
    weights = rng.random(int(wants.sum())).astype(np.float32)
    table = ItemUsers(np.cumsum([0, *wants.sum(axis=1)]), np.nonzero(wants)[1].astype(np.int32), weights)
    liked, rows = (rng.permutation(num_items)[: rng.integers(0, num_items + 1)].astype(np.int32) for _ in range(2))
    shown = interest.Interest(liked, rng.random(len(liked)).astype(np.float32))
    ours = np.full((len(rows), 2), 7, np.float32)
    table.by_kernel(ours[:, 0], shown, rows, kernel.compiled())
    np.testing.assert_array_equal(ours[:, 0], table.by_numpy(shown, rows))
    assert (ours[:, 1] == 7).all()


@EFFORT
@given(SEEDS, st.integers(1, 70), st.sampled_from([np.float32, np.float16]))
def test_products_with_vectors_are_alike(seed, size, kind):
    rng = np.random.default_rng(seed)
    # Whole range of half precision: subnormal, large, of both signs.
    vectors = (rng.normal(size=(80, size)) * 10.0 ** rng.integers(-7, 4, (80, size))).astype(kind)
    rows, query = some_rows(rng, 80), rng.normal(size=size).astype(np.float32)
    table = np.zeros((len(rows), 3), np.float32)
    likeness.by_kernel(table[:, 1], vectors, rows, query, kernel.compiled())
    np.testing.assert_array_equal(table[:, 1], likeness.by_numpy(vectors, rows, query))
    assert not table[:, [0, 2]].any()
    if kind == np.float16:
        weights = numbers(rng, len(rows))
        np.testing.assert_array_equal(
            likeness.sum_by_kernel(vectors, rows, weights, kernel.compiled()),
            likeness.sum_by_numpy(vectors, rows, weights),
        )


@EFFORT
@given(SEEDS, st.lists(st.integers(1, 25), min_size=1, max_size=6), st.integers(0, 30))
def test_blocks_of_any_width_stand_side_by_side(seed, widths, num_rows):
    rng = np.random.default_rng(seed)
    put: list[blocks.Block] = []
    for number, width in enumerate(widths):
        match number % 4:
            case 0:
                put.append(numbers(rng, num_rows, width))
            case 1:
                put.append(numbers(rng, width))
            case 2:
                put.append(Taken(numbers(rng, 50, width), rng.integers(0, 50, num_rows).astype(np.int32)))
            case _:
                put.append(numbers(rng, num_rows, width) > 0)
    put.insert(int(rng.integers(0, len(put) + 1)), Written(3))
    ours, twin = np.full((2, num_rows, sum(widths) + 3), 7, np.float32)
    blocks.by_kernel(ours, tuple(put), kernel.compiled())
    blocks.by_numpy(twin, tuple(put))
    np.testing.assert_array_equal(ours, twin)


@EFFORT
@given(SEEDS, st.integers(1, 5), st.integers(1, 5))
def test_the_first_ten_within_limits_are_alike(seed, per_category, per_seller):
    rng = np.random.default_rng(seed)
    groups = tuple(rng.integers(-1, 6, 100).astype(np.int32) for _ in range(2))
    spread = Spread(("categories", "sellers"), groups, (per_category, per_seller))
    rows = rng.permutation(100)[: rng.integers(0, 100)].astype(np.int32)
    assert spread.first_by_kernel(rows, kernel.compiled()).tolist() == spread.first_by_numpy(rows).tolist()


@EFFORT
@given(SEEDS, st.integers(0, 200))
def test_scores_fall_alike(seed, count):
    """Also where they stand in a column of a table; of equal ones, and of both zeros, the first comes first."""
    table = numbers(np.random.default_rng(seed), count, 3)
    table[::7] *= np.float32(-0.0)
    for scores in (table[:, 1], np.ascontiguousarray(table[:, 1])):
        assert order.by_kernel(scores, kernel.compiled()).tolist() == order.by_numpy(scores).tolist()


@EFFORT
@given(SEEDS)
def test_ages_fade_alike(seed):
    rng = np.random.default_rng(seed)
    born = np.where(rng.random(50) < 0.2, np.nan, NOW - rng.integers(-99, 9_999_999, 50))
    rows = some_rows(rng, 50)
    asked = (born, rows, NOW, 30.0 * SECONDS_PER_DAY)
    np.testing.assert_array_equal(rules.powers_by_kernel(*asked, kernel.compiled()), rules.powers_by_numpy(*asked))


def test_a_list_is_the_same_without_a_build(bundle, monkeypatch):
    def asked():
        return [
            recommend(bundle, HomeRequest(user_id=world.user_id(number), limit=20), now=world.CUT).items
            for number in range(10)
        ]

    fast = asked()
    without_kernel(monkeypatch)
    assert asked() == fast


@pytest.mark.parametrize("wrong", [np.zeros(4, np.float64), np.zeros((4, 2), np.float32)[:, 0]])
def test_c_is_told_of_no_array_it_would_misread(wrong):
    with pytest.raises(ContractError, match=r"needs a contiguous array of float32\. Received: .* with strides"):
        kernel.address(wrong, np.float32)
