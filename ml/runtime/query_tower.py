"""The query tower of one moment, compiled: a graph's overhead is ten times what there is to compute.

Agrees with the graph to 1e-6, which `exported_graphs_agree` and tests look at. The graph answers where nothing was built, for many moments at once
(evaluation), and where events look at each other (`history_encoder: self_attention`).
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import BundleError
from ml.contract.events import EVENT_TYPES
from ml.contract.types import Floats, Rows
from ml.features.history import History
from ml.features.tower_inputs import USER_ATTRIBUTES, TowerEncoder
from ml.features.transforms import cyclical_instant
from ml.runtime.kernel import Kernel, address, require_memory, structs
from ml.runtime.mapped import mapped

QUERY_WEIGHTS = "query_tower.npz"
QUERY_TABLES = ("users", "items", "factors", "given")
"""Each in a file of its own, mapped: the processes of one machine share it, and the graph reads the same file."""


@dataclass(frozen=True)
class QueryWeights:
    """What the tower learned. `d` is the length of what it learns, `N` of the history, events are counted by code + 1."""

    users: Floats
    """`[num_users + 1, d]`"""
    items: Floats
    """`[num_items + 1, d]`"""
    place_scores: Floats
    """`[N]`"""
    event_scores: Floats
    """`[num_events]`"""
    event_signs: Floats
    """`[num_events]`"""
    event_vectors: Floats
    """`[num_events, d]`"""
    content_score: Floats
    """`[d]`"""
    age_score: Floats
    """`[1]`"""
    interest: Floats
    """`[d, d]`"""
    layers: tuple[tuple[Floats, Floats], ...]
    """Of the perceptron over user, interest, attributes and context: weights `[inputs, outputs]` and bias `[outputs]`, the last one `d` wide."""
    attributes: tuple[Floats, ...]
    """A table each `[values + 1, width]`."""
    factors: Floats | None = None
    """`[num_items + 1, f + 1]`: what is known of items and not learned, and last how much that says; None where there is none."""
    factor_weight: Floats = field(default_factory=lambda: np.ones(1, np.float32))
    """`[1]` What factors of length 1 are multiplied with beside learned numbers of length 1."""
    given: Floats | None = None
    """`[num_items + 1, sum of given_sizes]`: vectors the shop has of its items; the first number of each says whether there is one."""
    given_sizes: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """`[num_vectors]`"""
    likes: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """`[num_events]`: 1 for events whose items count in the mean of given vectors."""
    projection: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """`[sum of given_sizes, d]`"""

    @property
    def dimension(self) -> int:
        """Of the vectors it gives."""
        return self.users.shape[1] + (0 if self.factors is None else self.factors.shape[1] - 1)

    def save(self, folder: Path) -> None:
        for name in QUERY_TABLES:
            if getattr(self, name) is not None:
                np.save(folder / table_file(name), np.ascontiguousarray(getattr(self, name), np.float32))
        self.save_layers(folder)

    def save_layers(self, folder: Path) -> None:
        """All but the tables, which the graph reads as well."""
        small: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name in QUERY_TABLES:
                continue
            if part.name == "layers":
                small |= {f"weights_{place}": weights for place, (weights, _) in enumerate(value)}
                small |= {f"bias_{place}": bias for place, (_, bias) in enumerate(value)}
            elif part.name == "attributes":
                small |= {f"attribute_{place}": table for place, table in enumerate(value)}
            else:
                small[part.name] = value
        np.savez(folder / QUERY_WEIGHTS, **small)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """
        Raises:
            BundleError: a table is missing, or the parts do not fit one another: the kernel would read past their ends.
        """
        with np.load(folder / QUERY_WEIGHTS, allow_pickle=False) as stored:
            parts: dict[str, Any] = {name: np.ascontiguousarray(stored[name], np.float32) for name in stored.files}
        layers = tuple((parts.pop(f"weights_{n}"), parts.pop(f"bias_{n}")) for n in range(_count(parts, "weights_")))
        attributes = tuple(parts.pop(f"attribute_{n}") for n in range(_count(parts, "attribute_")))
        tables = {
            name: mapped(folder / table_file(name)) for name in QUERY_TABLES if (folder / table_file(name)).exists()
        }
        try:
            weights = cls(**parts, **tables, layers=layers, attributes=attributes)
        except TypeError as error:
            raise _unfit(folder, f"{sorted({*parts, *tables})} ({error})") from error
        weights._require_to_fit(folder)
        return weights

    def _require_to_fit(self, folder: Path) -> None:
        size, events = self.users.shape[1], len(EVENT_TYPES) + 1
        widths = [
            (2 if self.given is None else 3) * size + sum(table.shape[1] for table in self.attributes) + 4,
            *(len(bias) for _, bias in self.layers),
        ]
        expected = {
            "items": (len(self.items), size),
            "event_scores": (events,),
            "event_signs": (events,),
            "event_vectors": (events, size),
            "content_score": (size,),
            "age_score": (1,),
            "interest": (size, size),
            "factor_weight": (1,),
            "place_scores": (self.place_scores.size,),
        }
        shapes = {name: getattr(self, name).shape for name in expected}
        shapes |= {f"layer {place}": weights.shape for place, (weights, _) in enumerate(self.layers)}
        expected |= {f"layer {place}": pair for place, pair in enumerate(pairwise(widths))}
        shapes |= {"attributes": (len(self.attributes), len({table.shape[1] for table in self.attributes}))}
        expected |= {"attributes": (len(USER_ATTRIBUTES), 1)}
        if self.factors is not None:
            shapes["factors"], expected["factors"] = (
                self.factors.shape,
                (len(self.items), max(self.factors.shape[1], 2)),
            )
        if self.given is not None:
            width = int(self.given_sizes.sum())
            shapes |= {name: getattr(self, name).shape for name in ("given", "likes", "projection")}
            expected |= {"given": (len(self.items), width), "likes": (events,), "projection": (width, size)}
        wrong = [f"{name} {list(shapes[name])}" for name in expected if shapes[name] != expected[name]]
        if wrong or widths[-1] != size or not self.layers:
            raise _unfit(folder, ", ".join(wrong) or f"layers that end {widths[-1]} wide")

    def require_of(self, encoder: TowerEncoder, name: str) -> None:
        """
        Raises:
            BundleError: an id of the encoder's has no row in a table.
        """
        expected = (*encoder.query_sizes, encoder.candidate_sizes[0], encoder.history_length)
        received = (len(self.users), *map(len, self.attributes), len(self.items), len(self.place_scores))
        if received != expected:
            raise BundleError(
                f"The query tower of {name} must know {expected} users, attributes, items and places of the history. "
                f"Received: {received}. Export the retriever again."
            )


@dataclass(frozen=True)
class CompiledQuery:
    """The tower over one catalogue's items and users."""

    weights: QueryWeights

    def vector(self, ids: Rows, history: History, *, item_indexes: Rows, at: int, kernel: Kernel) -> Floats:
        """Unit vector of one user at the instant `at` `[dimension]`; what `TowerEncoder.query` and the graph say together.

        Args:
            ids: `[1 + attributes]`, a row of `TowerEncoder.user_ids`; zeros for a stranger.
            item_indexes: `[catalogue]` of the catalogue the history's rows point into.
        """
        vector, context = np.empty(self.weights.dimension, np.float32), cyclical_instant(at)
        told = structs([(
            address(ids, np.int32), address(history.item_rows, np.int32), address(history.event_codes, np.int8),
            address(history.occurred_at, np.int64), len(history), at, address(item_indexes, np.int32),
            address(context, np.float32), len(context),
        )])  # fmt: skip
        tower, _ = self._struct
        require_memory(kernel.query_vector(tower.buffer_info()[0], told.buffer_info()[0], address(vector, np.float32)))
        return vector

    @cached_property
    def _struct(self) -> "tuple[array[int], tuple[array[int], ...]]":
        """`struct tower` of query.c, and what it points to."""
        w = self.weights
        layers = structs(_dense(weights, bias) for weights, bias in w.layers)
        interest = structs([_dense(w.interest, None)])
        attributes = array("q", [address(table, np.float32) for table in w.attributes])
        factors = (0, 0) if w.factors is None else (address(w.factors, np.float32), w.factors.shape[1] - 1)
        starts = array("q", [0, *np.cumsum(w.given_sizes).astype(int).tolist()])
        projection = structs([_dense(w.projection, None)])
        given = (0, 0, 0, 0, 0, 0)
        if w.given is not None:
            given = (
                address(w.given, np.float32), starts.buffer_info()[0], len(w.given_sizes), w.given.shape[1],
                address(w.likes, np.float32), projection.buffer_info()[0],
            )  # fmt: skip
        widest = max(*(max(weights.shape) for weights, _ in w.layers), len(w.projection))
        tower = structs([(
            address(w.users, np.float32), address(w.items, np.float32), w.users.shape[1],
            address(w.place_scores, np.float32), len(w.place_scores), address(w.event_scores, np.float32),
            address(w.event_signs, np.float32), address(w.event_vectors, np.float32),
            address(w.content_score, np.float32), address(w.age_score, np.float32),
            interest.buffer_info()[0], layers.buffer_info()[0], len(w.layers),
            attributes.buffer_info()[0], len(w.attributes), w.attributes[0].shape[1],
            *factors, address(w.factor_weight, np.float32), *given, widest,
        )])  # fmt: skip
        return tower, (layers, interest, attributes, starts, projection)


def _dense(weights: Floats, bias: Floats | None) -> tuple[int, ...]:
    """`struct dense` of query.c."""
    return address(weights, np.float32), 0 if bias is None else address(bias, np.float32), *weights.shape


def table_file(name: str) -> str:
    """Of one of `QUERY_TABLES`, in a bundle."""
    return f"query_{name}.npy"


def _count(parts: Mapping[str, NDArray[Any]], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in parts)


def _unfit(folder: Path, received: str) -> BundleError:
    return BundleError(
        f"{QUERY_WEIGHTS} and its tables in {folder.name} must fit one another and {len(EVENT_TYPES)} kinds of event. "
        f"Received: {received}. Export the retriever again."
    )
