"""The rating head for one query and many candidates: dense layers, compiled, with the query's part worked into the first of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np

from ml.contract.errors import BundleError, ContractError
from ml.contract.types import Floats, Rows
from ml.runtime.kernel import Kernel, address, structs

MULTIPLE = 16
"""Outputs of a layer are filled up to so many with weights of 0: the widest vector of the kernel."""
WIDEST = 1024
"""Of dense.c."""
ANSWERS = 2


@dataclass(frozen=True)
class Layer:
    """x -> x @ weights + bias."""

    weights: Floats
    """`[inputs, outputs]`"""
    bias: Floats
    """`[outputs]`"""

    @classmethod
    def of(cls, weights: Floats, bias: Floats, *, inputs: int) -> Self:
        """With outputs filled up to a multiple of `MULTIPLE`, and inputs to what the layer before it gives."""
        outputs = -weights.shape[1] % MULTIPLE
        filled = np.pad(weights, ((0, inputs - len(weights)), (0, outputs))), np.pad(bias, (0, outputs))
        return cls(*(np.ascontiguousarray(values, np.float32) for values in filled))

    def struct(self) -> tuple[int, ...]:
        """`struct layer` of dense.c."""
        return address(self.weights, np.float32), address(self.bias, np.float32), *self.weights.shape


@dataclass(frozen=True)
class HeadLayers:
    """First layer over query, candidate and their product, ReLU, hidden layers with ReLU, and two answers.

    For one query q the first layer is linear in the candidate c: c @ C + (c * q) @ P = c @ (C + diag(q) P). So candidates are multiplied once
    and not twice.
    """

    of_query: Layer
    of_candidate: Floats
    """`[dimension, outputs]`"""
    of_product: Floats
    """`[dimension, outputs]`"""
    after: tuple[Layer, ...]

    @classmethod
    def of(
        cls,
        *,
        query: tuple[Floats, Floats],
        candidate: Floats,
        product: Floats,
        after: Sequence[tuple[Floats, Floats]],
    ) -> Self:
        """Of the weights as they were learned: of query and of each later layer with its bias."""
        nothing = np.zeros(candidate.shape[1], np.float32)
        first = Layer.of(*query, inputs=len(query[0]))
        by_item, by_both = (Layer.of(weights, nothing, inputs=len(weights)).weights for weights in (candidate, product))
        layers = [first]
        for weights, bias in after:
            layers.append(Layer.of(weights, bias, inputs=layers[-1].weights.shape[1]))
        return cls(first, by_item, by_both, tuple(layers[1:]))

    def answers(self, query: Floats, vectors: Floats, rows: Rows, kernel: Kernel) -> Floats:
        """What the head says before it is put into units: value and conversion, a logit `[len(rows), 2]`.

        Args:
            query: `[at least dimension]`: the first numbers are what the head knows, as in the vectors.
            vectors: `[num_items, the same]`.

        Raises:
            ContractError: the vectors are shorter than the head's, or query and vectors are not of one length.
        """
        if vectors.shape[1] < len(self.of_candidate) or vectors.shape[1:] != query.shape:
            raise ContractError(
                f"The rating head takes vectors of at least {len(self.of_candidate)} numbers, and a query as long. "
                f"Received: {list(vectors.shape)} and {list(query.shape)}. Vectors and head must be of one training."
            )
        return by_kernel(self.first_and_after(query), vectors, rows, kernel)

    def first_and_after(self, query: Floats) -> tuple[Layer, ...]:
        """All layers for one query, each ready to be multiplied with what comes before it."""
        query = query[: len(self.of_candidate)]
        weights = self.of_product * query[:, None]
        weights += self.of_candidate
        return Layer(weights, query @ self.of_query.weights + self.of_query.bias), *self.after

    def save(self, path: Path) -> None:
        after = {
            f"{name}_{place}": getattr(layer, name)
            for place, layer in enumerate(self.after)
            for name in ("weights", "bias")
        }
        np.savez(
            path,
            query=self.of_query.weights,
            bias=self.of_query.bias,
            candidate=self.of_candidate,
            product=self.of_product,
            **after,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """
        Raises:
            BundleError: the layers do not follow one another, and the kernel would read past their end.
        """
        with np.load(path, allow_pickle=False) as stored:
            after = tuple(
                Layer(stored[f"weights_{place}"], stored[f"bias_{place}"])
                for place in range(sum(name.startswith("weights_") for name in stored.files))
            )
            head = cls(Layer(stored["query"], stored["bias"]), stored["candidate"], stored["product"], after)
        head._require_to_fit(path.name)
        return head

    def _require_to_fit(self, name: str) -> None:
        first = self.of_query
        layers = (first, *self.after)
        fits = bool(self.after) and first.weights.shape == self.of_candidate.shape == self.of_product.shape
        fits = fits and all(
            layer.bias.shape == layer.weights.shape[1:]
            and 0 < layer.weights.shape[1] <= WIDEST
            and not layer.weights.shape[1] % MULTIPLE
            for layer in layers
        )
        fits = fits and all(len(after.weights) == before.weights.shape[1] for before, after in pairwise(layers))
        if not fits:
            shapes = ", ".join(str(list(layer.weights.shape)) for layer in layers)
            raise BundleError(
                f"{name} must hold layers of which each takes what the one before it gives, at most {WIDEST} wide. Received: {shapes}. "
                "Export the retriever again."
            )


def by_kernel(layers: Sequence[Layer], vectors: Floats, rows: Rows, kernel: Kernel) -> Floats:
    """The first `ANSWERS` outputs of the last layer for some rows of a table; negatives become 0 after each layer but the last."""
    answers = np.empty((len(rows), ANSWERS), np.float32)
    told = structs(layer.struct() for layer in layers)
    kernel.dense_layers(
        address(vectors, np.float32), vectors.shape[1], address(rows, np.int32), len(rows), told.buffer_info()[0], len(layers),
        address(answers, np.float32), ANSWERS,
    )  # fmt: skip
    return answers


def by_numpy(layers: Sequence[Layer], vectors: Floats, rows: Rows) -> Floats:
    """The same, added up in the same order: a product by BLAS would round otherwise on every processor."""
    x = vectors[rows, : len(layers[0].weights)]
    for place, layer in enumerate(layers):
        sums = np.tile(layer.bias, (len(x), 1))
        for values, weights in zip(x.T, layer.weights, strict=True):
            sums += values[:, None] * weights
        x = np.maximum(sums, np.float32(0)) if place < len(layers) - 1 else sums
    return x[:, :ANSWERS]
