"""The order in which examples are seen."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def batches(num_examples: int, *, batch_size: int, seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Positions of examples, `[batch_size]` at a time, each at most once an epoch.

    The order is an exact shuffle and depends on (seed, epoch) alone, so a resumed run sees what the killed one would have seen.
    All batches are equally large (one compiled step fits all): the rest, fewer than one batch, waits for another epoch's order.
    Fewer examples than `batch_size` make one batch of them all.
    """
    order = np.random.default_rng((seed, epoch)).permutation(num_examples)
    size = min(batch_size, num_examples)
    for number in range(num_batches(num_examples, batch_size=batch_size)):
        yield order[number * size : (number + 1) * size]


def num_batches(num_examples: int, *, batch_size: int) -> int:
    """Batches of one epoch."""
    return num_examples // min(batch_size, num_examples) if num_examples else 0


def ahead(pieces: Iterator[T]) -> Iterator[T]:
    """The same pieces; while one is in use, a thread makes the next. What the making raises is raised here."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, pieces, end)
        while (piece := coming.result()) is not end:
            coming = thread.submit(next, pieces, end)
            yield piece  # type: ignore[misc]  # all but `end` are pieces
