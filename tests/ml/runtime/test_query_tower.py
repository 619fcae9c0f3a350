"""The query tower's formula, compiled."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.errors import BundleError
from ml.contract.events import EVENT_TYPES
from ml.features.history import SECONDS_PER_DAY, History
from ml.features.transforms import cyclical_instant
from ml.runtime import kernel
from ml.runtime.query_tower import CompiledQuery, QueryWeights
from tests.ml.runtime.shops import EFFORT
from tools import build_kernel

NOW = 1_000 * SECONDS_PER_DAY
NUM_USERS, NUM_ITEMS, SIZE, LENGTH = 5, 9, 6, 4
NUM_EVENTS = len(EVENT_TYPES) + 1


@pytest.fixture(scope="module", autouse=True)
def compiled() -> kernel.Kernel:
    """Built from the sources as they are now."""
    assert build_kernel.build(), "These tests need a C compiler: apt-get install gcc libc6-dev"
    kernel.compiled.cache_clear()
    return kernel.compiled()


def tower(rng: np.random.Generator, *, factors: int = 0, given: tuple[int, ...] = ()) -> QueryWeights:
    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    widths = ((3 if given else 2) * SIZE + 2 * 3 + 4, 7, SIZE)
    # The first number of a given vector says whether there is one.
    has = [np.repeat(rng.integers(0, 2, (NUM_ITEMS, 1)), size, axis=1) for size in given]
    vectors = [np.where(mask, np.hstack([mask[:, :1], numbers(NUM_ITEMS, mask.shape[1] - 1)]), 0) for mask in has]
    return QueryWeights(
        users=numbers(NUM_USERS, SIZE),
        items=numbers(NUM_ITEMS, SIZE),
        place_scores=numbers(LENGTH),
        event_scores=numbers(NUM_EVENTS),
        event_signs=np.sign(numbers(NUM_EVENTS)),
        event_vectors=numbers(NUM_EVENTS, SIZE),
        content_score=numbers(SIZE),
        age_score=numbers(1),
        interest=numbers(SIZE, SIZE),
        layers=tuple((numbers(*pair), numbers(pair[1])) for pair in pairwise(widths)),
        attributes=(numbers(3, 3), numbers(4, 3)),
        factors=numbers(NUM_ITEMS, factors + 1) if factors else None,
        factor_weight=np.array([0.8], np.float32),
        given=np.hstack(vectors).astype(np.float32) if given else None,
        given_sizes=np.array(given, np.float32),
        likes=rng.integers(0, 2, NUM_EVENTS).astype(np.float32),
        projection=numbers(sum(given), SIZE),
    )


def of_length_one(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(max((vector**2).sum(), 1e-12))


def as_written(w: QueryWeights, ids: np.ndarray, past: History, indexes: np.ndarray) -> np.ndarray:
    """In double, the newest event first."""
    items = indexes[past.item_rows][::-1][:LENGTH]
    events = past.event_codes[::-1][:LENGTH].astype(int) + 1
    ages = np.log1p((NOW - past.occurred_at[::-1][:LENGTH]) / SECONDS_PER_DAY)
    content = w.items[items].astype(np.float64)
    scores = w.place_scores[: len(items)] + w.age_score[0] * ages + w.event_scores[events] + content @ w.content_score
    shares = np.exp(scores) / np.exp(scores).sum() if len(items) else np.zeros(0)
    interest = (shares * w.event_signs[events]) @ content + shares @ w.event_vectors[events]
    user = w.users[ids[0]].astype(np.float64)
    attributes = [table[row] for table, row in zip(w.attributes, ids[1:], strict=True)]
    liked = [mean_of_liked(w, items, events) @ w.projection] if w.given is not None else []
    x = np.concatenate([user, interest, *liked, *attributes, cyclical_instant(NOW)])
    for place, (weights, bias) in enumerate(w.layers):
        x = x @ weights + bias
        x = np.maximum(x, 0) if place < len(w.layers) - 1 else x
    learned = of_length_one(sum([user, interest @ w.interest, *liked, x]))
    if w.factors is None:
        return learned
    known = w.factors[items].astype(np.float64)
    factors = of_length_one((np.sqrt(shares) * known[:, -1]) @ known[:, :-1])
    return of_length_one(np.concatenate([learned, w.factor_weight[0] * factors]))


def mean_of_liked(w: QueryWeights, items: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Of each given vector by itself, over the liked items that have it."""
    vectors = w.given[items[w.likes[events] > 0]].astype(np.float64)
    ends = np.cumsum(w.given_sizes).astype(int)
    parts = np.split(vectors, ends[:-1], axis=1)
    return np.concatenate([part.sum(axis=0) / max(part[:, 0].sum(), 1) for part in parts])


def a_past(rng: np.random.Generator, size: int) -> History:
    return History(
        rng.integers(0, 20, size).astype(np.int32),
        rng.integers(0, len(EVENT_TYPES), size).astype(np.int8),
        np.sort(NOW - rng.integers(0, 90 * SECONDS_PER_DAY, size)),
        np.ones(size, np.float32),
    )


@EFFORT
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 9), st.sampled_from([0, 1, 11]), st.sampled_from([(), (5,), (40, 1, 3)])
)
def test_the_vector_of_a_moment_is_that_of_the_formula(seed, size, factors, given_vectors):
    rng = np.random.default_rng(seed)
    weights, past = tower(rng, factors=factors, given=given_vectors), a_past(rng, size)
    ids = np.array([rng.integers(0, NUM_USERS), rng.integers(0, 3), rng.integers(0, 4)], np.int32)
    indexes = rng.integers(0, NUM_ITEMS, 20).astype(np.int32)

    ours = CompiledQuery(weights).vector(ids, past, item_indexes=indexes, at=NOW, kernel=kernel.compiled())

    assert len(ours) == weights.dimension == SIZE + factors
    np.testing.assert_allclose(ours, as_written(weights, ids, past, indexes), atol=1e-5)


@pytest.mark.parametrize(("factors", "given_vectors"), [(0, ()), (3, (4, 2))])
def test_saved_weights_are_the_same_when_they_are_loaded(tmp_path, factors, given_vectors):
    weights = tower(np.random.default_rng(1), factors=factors, given=given_vectors)
    weights.save(tmp_path)
    again = QueryWeights.load(tmp_path)
    ids, past = np.array([1, 2, 3], np.int32), a_past(np.random.default_rng(2), 5)
    of_both = [
        CompiledQuery(each).vector(
            ids, past, item_indexes=np.arange(20, dtype=np.int32) % 9, at=NOW, kernel=kernel.compiled()
        )
        for each in (weights, again)
    ]
    np.testing.assert_array_equal(*of_both)


@pytest.mark.parametrize(
    ("part", "shape"),
    [
        ("items", (9, 5)),
        ("event_vectors", (3, 6)),
        ("interest", (6, 7)),
        ("age_score", (0,)),
        ("factors", (8, 3)),
        ("given", (9, 6)),
        ("likes", (2,)),
        ("projection", (4, 6)),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, part, shape):
    broken = replace(tower(np.random.default_rng(1), factors=3, given=(5,)), **{part: np.zeros(shape, np.float32)})
    broken.save(tmp_path)
    with pytest.raises(BundleError, match=rf"must fit one another .* Received: {part} \[{shape[0]}"):
        QueryWeights.load(tmp_path)


def test_layers_that_do_not_end_as_wide_as_the_vectors_are_refused(tmp_path):
    whole = tower(np.random.default_rng(1))
    replace(whole, layers=whole.layers[:1]).save(tmp_path)
    with pytest.raises(BundleError, match="Received: layers that end 7 wide"):
        QueryWeights.load(tmp_path)


def test_a_table_that_is_missing_is_refused(tmp_path):
    tower(np.random.default_rng(1)).save(tmp_path)
    (tmp_path / "query_users.npy").unlink()
    with pytest.raises(BundleError, match=r"must fit one another .* 'users'"):
        QueryWeights.load(tmp_path)
