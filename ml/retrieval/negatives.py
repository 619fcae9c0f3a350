"""Negatives beyond the candidates of a step itself. Knows no TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from ml.contract.types import Floats, Rows
from ml.dataset.examples import ExampleSource, RetrievalExamples
from ml.retrieval.settings import RetrieverSettings

SALT = 1
"""Keeps these draws apart from those that shuffle the examples."""


@dataclass(frozen=True)
class Negatives:
    """Which items stand beside a step's own candidates, and how common each item is among all of them.

    Their vectors are made anew in each step: a cache of vectors would hold those of older weights, and would have to be
    part of a checkpoint.
    """

    item_shares: Floats
    """Of the examples `[num_items]`."""
    known_items: Rows
    """Items that the encoder knows: an item of tomorrow is nobody's negative."""
    num_uniform: int
    num_cached: int
    log_q: Floats
    """Log of each item's expected share of a step's candidates `[num_items]`: of the batch, cached and uniform ones together."""

    @classmethod
    def of(cls, examples: ExampleSource, settings: RetrieverSettings) -> Self:
        shares = examples.item_shares
        known = np.flatnonzero(examples.candidates.ids[:, 0] > 0).astype(np.int32)
        by_examples = min(settings.batch_size, len(examples)) + settings.cached_negatives
        uniform = np.zeros_like(shares)
        uniform[known] = 1 / len(known)
        expected = by_examples * shares + settings.uniform_negatives * uniform
        with np.errstate(divide="ignore"):  # log 0 of an item that can be no candidate: no step ever asks for it
            log_q: Floats = np.log(expected / (by_examples + settings.uniform_negatives)).astype(np.float32)
        return cls(shares, known, settings.uniform_negatives, settings.cached_negatives, log_q)

    def beside(
        self, batches: Iterator[RetrievalExamples], *, seed: int, epoch: int
    ) -> Iterator[tuple[RetrievalExamples, Rows]]:
        """Each batch, and the items beside it `[num_cached + num_uniform]`. An epoch is a function of (seed, epoch) alone."""
        rng = np.random.default_rng((seed, epoch, SALT))
        # The first steps of an epoch have no steps before them: drawn examples take their place.
        cached = rng.choice(len(self.item_shares), self.num_cached, p=_exactly_one(self.item_shares)).astype(np.int32)
        for batch in batches:
            uniform = rng.choice(self.known_items, self.num_uniform)
            yield batch, np.concatenate([cached, uniform])
            cached = np.concatenate([batch.item_rows, cached])[: self.num_cached]


def _exactly_one(shares: Floats) -> Floats:
    """Shares that add up to 1 in double precision, as a draw asks for."""
    exact = shares.astype(np.float64)
    summed: Floats = exact / exact.sum()
    return summed
