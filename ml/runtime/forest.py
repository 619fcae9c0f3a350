"""Trees as bit masks, scored by a small C kernel: many times as fast as LightGBM's own walk, and the same to the last bit.

QuickScorer (Lucchese et al., SIGIR 2015). A tree's leaves are bits, from left to right. A split that sends a row right rules out the leaves
of its left branch: one AND with a mask. When all splits have spoken, the first bit left is the leaf the row falls into. Splits are sorted
by feature and threshold, so that nothing is walked, no branch is mispredicted, and sixteen rows pass each split together. What all rows share (the user, the hour) is looked at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import BundleError, ContractError
from ml.contract.types import Floats, Rows

BITS = 32
"""Leaves in a word; larger trees have several words."""
ROWS = 16
"""Rows the kernel takes at a time."""
DEFAULT_LEFT, MISSING_IS_ZERO, MISSING_IS_NAN = 2, 4, 8
"""Bits of LightGBM's `decision_type`."""

ZERO = np.float32(1e-35)
"""LightGBM's `kZeroThreshold`."""

FILLS = np.array([-np.inf, 0, np.nan], np.float32)
"""What NaN is read as: goes left at every split, is 0 (as LightGBM has it where training saw no NaN), goes right at every split."""

# The two types below are structs of forest.c.
COLUMN = np.dtype([("feature", np.int32), ("fill", np.float32), ("start", np.int32), ("end", np.int32)])
"""A feature and what NaN is read as in it; its splits are [start, end)."""
SPLIT = np.dtype([("threshold", np.float32), ("word", np.int32), ("mask", np.uint32)])
"""Rows above the threshold lose the leaves whose bit in the mask is 0. A left branch that reaches over two words makes two splits."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Forest:
    """A sum of trees."""

    num_features: int
    columns: NDArray[Any]
    """`[num_columns]` of COLUMN."""
    splits: NDArray[Any]
    """`[num_splits]` of SPLIT: by column, then by ascending threshold."""
    tree_words: Rows
    """`[num_trees + 1]` First word of each tree, and the number of words."""
    leaf_values: Doubles
    """`[num_words * BITS]`"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The forest of a LightGBM model in its text form.

        Raises:
            BundleError: it is more than a sum of trees with numeric splits.
        """
        header, *bodies = text.split("\nTree=")
        _require("objective=lambdarank" in header and "average_output" not in header, "be a plain sum of trees")
        trees = [_Tree.parse(body) for body in bodies]
        tree_words = np.cumsum([0, *(tree.num_words for tree in trees)], dtype=np.int32)
        splits = np.concatenate([tree.splits(first) for tree, first in zip(trees, tree_words.tolist(), strict=False)])
        splits = splits[np.lexsort((splits["threshold"], splits["missing"], splits["feature"]))]
        columns, starts, sizes = np.unique(splits[["feature", "missing"]], return_index=True, return_counts=True)
        num_features = int(_field(header, "max_feature_idx")) + 1
        # The kernel reads at these places without looking: a place that is not there must not reach it.
        _require(
            bool((columns["feature"] >= 0).all() and (columns["feature"] < num_features).all()),
            "split on features it has",
        )
        return cls(
            num_features=num_features,
            columns=_structs(COLUMN, columns["feature"], FILLS[columns["missing"]], starts, starts + sizes),
            splits=_structs(SPLIT, *(splits[name] for name in SPLIT.names or ())),
            tree_words=tree_words,
            leaf_values=np.concatenate([np.pad(tree.values, (0, -len(tree.values) % BITS)) for tree in trees]),
        )

    def scores(self, features: Floats, kernel: Callable[..., None]) -> Doubles:
        """`[n, num_features] -> [n]`, what LightGBM predicts."""
        features = np.ascontiguousarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ContractError(
                f"The ranker needs {self.num_features} features of each row. Received: an array of shape {features.shape}. "
                "Make it with `features_of`."
            )
        # Of this call alone: other threads score at the same time, because ctypes lets go of the interpreter.
        space = np.empty((ROWS + 1) * int(self.tree_words[-1]) + self.num_features, np.uint32)
        scores = np.empty(len(features))
        kernel(features.ctypes.data, *features.shape, *self._arguments, space.ctypes.data, scores.ctypes.data)
        return scores

    def golden_rows(self, num_rows: int, *, seed: int = 0) -> Floats:
        """Rows that try every comparison hard: each value is a threshold of its feature, the next float32 above one, 0, NaN or infinite."""
        rng = np.random.default_rng(seed)
        rows = rng.choice(np.array([0, np.nan, np.inf, -np.inf], np.float32), (num_rows, self.num_features))
        for feature in range(self.num_features):
            thresholds = self._thresholds_of(feature)
            if len(thresholds):
                drawn = rng.choice(thresholds, num_rows)
                drawn = np.where(rng.random(num_rows) < 0.5, drawn, np.nextafter(drawn, np.float32(np.inf)))
                rows[:, feature] = np.where(rng.random(num_rows) < 0.8, drawn, rows[:, feature])
        return rows

    def _thresholds_of(self, feature: int) -> Floats:
        columns = self.columns[self.columns["feature"] == feature]
        return np.concatenate(
            [np.empty(0, np.float32), *(self.splits["threshold"][c["start"] : c["end"]] for c in columns)]
        )

    @cached_property
    def _arguments(self) -> tuple[int, ...]:
        columns, trees = (
            (self.columns.ctypes.data, len(self.columns)),
            (self.tree_words.ctypes.data, len(self.tree_words) - 1),
        )
        return (*columns, self.splits.ctypes.data, *trees, self.leaf_values.ctypes.data)


@dataclass(frozen=True)
class _Tree:
    """One tree, its leaves from left to right."""

    features: Rows
    missing: Rows
    """`[num_splits]` Where NaN goes, a position in FILLS."""
    thresholds: Floats
    begins: Rows
    """`[num_splits]` First leaf of each split's left branch."""
    ends: Rows
    """`[num_splits]` The leaf after its last."""
    values: Doubles

    @classmethod
    def parse(cls, body: str) -> Self:
        def numbers(name: str, dtype: type) -> NDArray[Any]:
            return np.array(_field(body, name).split(), dtype)

        decisions = numbers("decision_type", np.int32)
        _require(_field(body, "num_cat") == "0", "split on numbers, not on categories")
        _require(_field(body, "is_linear") == "0", "end in constants, not in linear models")
        _require(not (decisions & MISSING_IS_ZERO).any(), "tell 0 from a missing value")
        left, right = numbers("left_child", int), numbers("right_child", int)
        _require(_is_tree(left, right), "have each split and each leaf hang from one split, numbered after the root")
        begins, ends, places = _leaf_ranges(left.tolist(), right.tolist())
        features, thresholds, leaf_values = (
            numbers("split_feature", np.int32),
            numbers("threshold", np.float64),
            numbers("leaf_value", np.float64),
        )
        _require(len(leaf_values) == len(places), "have as many values as leaves")
        _require(
            len(features) == len(thresholds) == len(decisions) == len(left),
            "have as many thresholds, features and decisions as splits",
        )
        values = np.empty(len(places))
        values[places] = leaf_values
        return cls(
            features=features,
            missing=np.where(decisions & MISSING_IS_NAN, np.where(decisions & DEFAULT_LEFT, 0, 2), 1).astype(np.int32),
            thresholds=_for_float32(thresholds),
            begins=begins,
            ends=ends,
            values=values,
        )

    @property
    def num_words(self) -> int:
        return -(-len(self.values) // BITS)

    def splits(self, first_word: int) -> NDArray[Any]:
        """With `feature` and `missing`, not yet sorted; the tree's words begin at `first_word`."""
        return np.concatenate([self._splits_of_word(word, first_word + word) for word in range(self.num_words)])

    def _splits_of_word(self, word: int, number: int) -> NDArray[Any]:
        cleared = _bits_below(self.ends - word * BITS) & ~_bits_below(self.begins - word * BITS)
        here = cleared != 0
        dtype = np.dtype([("feature", np.int32), ("missing", np.int32), *SPLIT.descr])
        numbers = np.full(here.sum(), number)
        return _structs(dtype, self.features[here], self.missing[here], self.thresholds[here], numbers, ~cleared[here])


def _is_tree(left: Rows, right: Rows) -> bool:
    """Whether each split but the root, and each leaf, is the child of one split, which has a lower number than a split that hangs from it."""
    num_splits = len(left)
    if len(right) != num_splits or num_splits == 0:
        return len(right) == num_splits
    children, parents = np.concatenate([left, right]), np.tile(np.arange(num_splits), 2)
    each_once = sorted(children.tolist()) == [*range(-num_splits - 1, 0), *range(1, num_splits)]
    return each_once and bool((children > parents)[children > 0].all())


def _leaf_ranges(left: list[int], right: list[int]) -> tuple[Rows, Rows, Rows]:
    """Where the left branch of each split begins and ends, and the place of each leaf, counted from left to right.

    A child is a split, numbered after the one it hangs from, or -1 - leaf.
    """
    num_splits = len(left)
    sizes = [1] * (2 * num_splits + 1)  # splits from the front, leaves from the back: there -1 - leaf leads
    for split in reversed(range(num_splits)):
        sizes[split] = sizes[left[split]] + sizes[right[split]]
    starts = [0] * len(sizes)
    for split in range(num_splits):
        starts[left[split]] = starts[split]
        starts[right[split]] = starts[split] + sizes[left[split]]
    begins = np.array(starts[:num_splits], np.int32)
    ends = begins + np.array([sizes[child] for child in left], np.int32)
    return begins, ends, np.array(starts[num_splits:][::-1], np.int32)


def _for_float32(thresholds: Doubles) -> Floats:
    """Thresholds in float32 that send every float32 where LightGBM sends it."""
    # LightGBM reads what is this close to 0 as 0, so no threshold may lie among it.
    thresholds = np.where((thresholds >= -ZERO) & (thresholds < 0), np.nextafter(-ZERO, np.float32(-1)), thresholds)
    thresholds = np.where((thresholds >= 0) & (thresholds < ZERO), ZERO, thresholds)
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    # Down, not to the nearest: no float32 lies between a threshold and the largest float32 that is not above it.
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _bits_below(numbers: Rows) -> NDArray[np.uint32]:
    """Words whose first so many bits are set."""
    return ((np.int64(1) << np.clip(numbers, 0, BITS).astype(np.int64)) - 1).astype(np.uint32)


def _structs(dtype: np.dtype[Any], *fields: NDArray[Any]) -> NDArray[Any]:
    filled = np.empty(len(fields[0]), dtype)
    for name, values in zip(dtype.names or (), fields, strict=True):
        filled[name] = values
    return filled


def _field(text: str, name: str) -> str:
    """Value of a line `name=value`."""
    found = text.partition(f"\n{name}=")[2]
    return found.partition("\n")[0]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise BundleError(f"The ranker's trees must {what}. Received: others. Train them with `ml.ranking`.")
