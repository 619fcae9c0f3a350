"""What the sources of one request say, side by side: one compiled call for any number of them, or the same in NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ml.contract.types import Floats, Rows
from ml.runtime.kernel import Kernel, address, compiled, require_memory, structs
from ml.runtime.sparse_scores import SparseScores

if TYPE_CHECKING:
    from ml.runtime.neighbours import NeighbourTable

NO_ROWS: Rows = np.empty(0, np.int32)


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of some items add up, each item counting with its strength."""

    table: "NeighbourTable"
    rows: Rows
    strengths: Floats


Scores = Neighbours | SparseScores
"""Of a few items; all others score 0."""


@dataclass(frozen=True)
class Source:
    """What one source says in one request."""

    scores: Scores | Floats | None
    """By way of a table, of a few items, or of every item `[num_items]`; None where the caller scores the candidates himself."""
    at_most: int = 0
    """It proposes so many of what is allowed, those with the best scores above 0."""
    proposals: Rows = field(default_factory=lambda: NO_ROWS)
    """What it proposes besides, whatever the scores."""

    def struct(self) -> tuple[int, ...]:
        """`struct source` of candidates.c."""
        table, items, dense = (0, 0, 0), (0, 0, 0), 0
        if isinstance(self.scores, Neighbours):
            table, items = self.scores.table.addresses, _pairs(self.scores.rows, self.scores.strengths)
        elif isinstance(self.scores, SparseScores):
            items = _pairs(self.scores.rows, self.scores.scores)
        elif self.scores is not None:
            dense = address(self.scores, np.float32)
        proposals = address(self.proposals, np.int32) if len(self.proposals) else 0
        return (*table, *items, dense, proposals, len(self.proposals), self.at_most)


@dataclass(frozen=True)
class Joined:
    """The distinct allowed items that some source proposed or the caller named, by ascending row."""

    rows: Rows
    """`[n]`"""
    scores: Floats
    """`[n, num_sources]`; 0 where a source says nothing."""
    proposed: NDArray[np.bool_]
    """`[n, num_sources]`"""


def joined(sources: Sequence[Source], named: Rows, *, allowed: NDArray[np.bool_]) -> Joined:
    """What all sources say of all that one of them proposes.

    Args:
        named: candidates whether a source proposes them or not.
        allowed: `[num_items]`; nothing else becomes a candidate.
    """
    kernel = compiled()
    return by_numpy(sources, named, allowed) if kernel is None else by_kernel(sources, named, allowed, kernel)


def by_kernel(sources: Sequence[Source], named: Rows, allowed: NDArray[np.bool_], kernel: Kernel) -> Joined:
    most = len(named) + sum(source.at_most + len(source.proposals) for source in sources)
    rows, scores = np.empty(most, np.int32), np.empty((most, len(sources)), np.float32)
    proposed, told = np.empty(scores.shape, np.bool_), structs(source.struct() for source in sources)
    count = require_memory(
        kernel.join_sources(
            told.buffer_info()[0], len(sources), address(named, np.int32), len(named),
            address(allowed, np.bool_), len(allowed),
            address(rows, np.int32), address(scores, np.float32), address(proposed, np.bool_),
        )
    )  # fmt: skip
    return Joined(rows[:count], scores[:count], proposed[:count])


def by_numpy(sources: Sequence[Source], named: Rows, allowed: NDArray[np.bool_]) -> Joined:
    said = [_added_up(source.scores) for source in sources]
    proposals = [
        np.concatenate([scores.top(source.at_most, allowed), source.proposals])
        if isinstance(scores, SparseScores)
        else source.proposals
        for source, scores in zip(sources, said, strict=True)
    ]
    rows, proposed = _side_by_side(proposals, named, allowed)
    scores = np.zeros(proposed.shape, np.float32)
    for column, each in enumerate(said):
        if each is not None:
            scores[:, column] = each.at(rows) if isinstance(each, SparseScores) else each[rows]
    return Joined(rows, scores, proposed)


def _added_up(scores: Scores | Floats | None) -> SparseScores | Floats | None:
    return scores.table.scores(scores.rows, scores.strengths) if isinstance(scores, Neighbours) else scores


def _side_by_side(proposals: Sequence[Rows], named: Rows, allowed: NDArray[np.bool_]) -> tuple[Rows, NDArray[np.bool_]]:
    """The distinct allowed items of all proposals and of those named, and which source proposed which."""
    lists = [*proposals, named]
    rows, sources = np.concatenate(lists), np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    kept = allowed[rows]
    distinct, places = np.unique(rows[kept], return_inverse=True)
    proposed = np.zeros((len(distinct), len(lists)), np.bool_)
    proposed[places, sources[kept]] = True
    return distinct.astype(np.int32), proposed[:, : len(proposals)]


def _pairs(rows: Rows, numbers: Floats) -> tuple[int, int, int]:
    return address(rows, np.int32), address(numbers, np.float32), len(rows)
