"""The rating head as layers: the same numbers compiled and by NumPy, and no layer that reads past another's end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.errors import BundleError, ContractError
from ml.runtime import dense, kernel
from ml.runtime.dense import HeadLayers
from tests.ml.runtime.shops import EFFORT
from tools import build_kernel


@pytest.fixture(scope="module", autouse=True)
def compiled() -> kernel.Kernel:
    """Built from the sources as they are now."""
    assert build_kernel.build(), "These tests need a C compiler: apt-get install gcc libc6-dev"
    kernel.compiled.cache_clear()
    return kernel.compiled()


def head(rng: np.random.Generator, dimension: int, *widths: int) -> HeadLayers:
    def weights(inputs: int, outputs: int) -> np.ndarray:
        return rng.normal(size=(inputs, outputs)).astype(np.float32)

    return HeadLayers.of(
        query=(weights(dimension, widths[0]), weights(1, widths[0])[0]),
        candidate=weights(dimension, widths[0]),
        product=weights(dimension, widths[0]),
        after=[
            (weights(inputs, outputs), weights(1, outputs)[0])
            for inputs, outputs in zip(widths, (*widths[1:], 2), strict=True)
        ],
    )


def as_written(layers: HeadLayers, query: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """One product of [query, candidate, query x candidate], as the head was learned, in double."""
    first = layers.of_query
    x = query @ first.weights + first.bias + candidates @ layers.of_candidate + (candidates * query) @ layers.of_product
    for layer in layers.after:
        x = np.maximum(x, 0).astype(np.float64) @ layer.weights + layer.bias
    return x[:, : dense.ANSWERS]


@EFFORT
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 40),
    st.lists(st.integers(1, 90), min_size=1, max_size=3),
    st.integers(0, 9),
)
def test_layers_give_the_same_compiled_by_numpy_and_as_they_were_learned(seed, dimension, widths, further):
    """Vectors may hold further numbers, of which the head knows nothing."""
    rng = np.random.default_rng(seed)
    layers, vectors = head(rng, dimension, *widths), rng.normal(size=(50, dimension + further)).astype(np.float32)
    query, rows = vectors[0], rng.integers(0, 50, rng.integers(0, 12)).astype(np.int32)

    ours = layers.answers(query, vectors, rows, kernel.compiled())

    np.testing.assert_array_equal(ours, dense.by_numpy(layers.first_and_after(query), vectors, rows))
    known = vectors[:, :dimension].astype(np.float64)
    learned = as_written(layers, known[0], known[rows])
    np.testing.assert_allclose(ours, learned, rtol=1e-4, atol=1e-4 * max(np.abs(learned).max(initial=1), 1))


def test_saved_layers_answer_as_before(tmp_path):
    rng = np.random.default_rng(1)
    layers, vectors = head(rng, 8, 24, 5), rng.normal(size=(9, 8)).astype(np.float32)
    layers.save(tmp_path / "head.npz")

    again = HeadLayers.load(tmp_path / "head.npz")

    rows = np.arange(9, dtype=np.int32)
    np.testing.assert_array_equal(
        *(each.answers(vectors[0], vectors, rows, kernel.compiled()) for each in (layers, again))
    )


@pytest.mark.parametrize("part", ["candidate", "weights_0", "weights_1", "bias_0"])
def test_layers_that_do_not_follow_one_another_are_refused(tmp_path, part):
    head(np.random.default_rng(2), 8, 24, 5).save(tmp_path / "head.npz")
    with np.load(tmp_path / "head.npz") as stored:
        np.savez(tmp_path / "broken.npz", **{**stored, part: stored[part][:-1]})

    with pytest.raises(
        BundleError, match=r"broken\.npz must hold layers of which each takes what .* Received: \[8, 32\]"
    ):
        HeadLayers.load(tmp_path / "broken.npz")


def test_vectors_that_are_too_short_are_refused():
    layers, vectors = head(np.random.default_rng(3), 8, 16), np.zeros((4, 7), np.float32)

    with pytest.raises(ContractError, match=r"vectors of at least 8 numbers, .* Received: \[4, 7\] and \[7\]"):
        layers.answers(vectors[0], vectors, np.arange(4, dtype=np.int32), kernel.compiled())


def test_a_query_of_another_length_than_the_vectors_is_refused():
    layers, vectors = head(np.random.default_rng(3), 8, 16), np.zeros((4, 9), np.float32)

    with pytest.raises(ContractError, match=r"and a query as long\. Received: \[4, 9\] and \[8\]"):
        layers.answers(vectors[0, :8], vectors, np.arange(4, dtype=np.int32), kernel.compiled())
