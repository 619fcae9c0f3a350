"""What the two towers see: one fitted encoder, used on training examples and on a request alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Halves, Rows, Seconds
from ml.features.embeddings import Directions, embedding, embedding_names, embeddings_digest
from ml.features.history import SECONDS_PER_DAY, Histories, History
from ml.features.transforms import ZScore, cyclical_instant, cyclical_time
from ml.features.vocabulary import Vocabulary

ITEM_ATTRIBUTES = ("category", "sub_category", "brand")
USER_ATTRIBUTES = ("country", "segment")
PRICE_BUCKETS = 8
VECTOR_DIM = 64
SEEN_VECTORS = "seen_vectors.npy"


@dataclass(frozen=True)
class CandidateInputs:
    """Of `n` items. Indexes into embedding tables: 0 is "unknown", a known value is its vocabulary row + 1."""

    ids: Rows
    """`[n, 2 + attributes]`: item, category, sub-category, brand, category x price bucket."""
    numbers: Floats
    """`[n, 1 + vectors]`: log price, z-scored; then of each vector column 1 where the item has a vector and where it lies, else zeros."""


@dataclass(frozen=True)
class QueryInputs:
    """Of `n` moments of users. History is newest first, padded with index 0."""

    ids: Rows
    """`[n, 1 + attributes]`: user, country, segment."""
    history_items: Rows
    """`[n, N]` item indexes."""
    history_events: Rows
    """`[n, N]` event code + 1."""
    history_ages: Floats
    """`[n, N]` log1p of the age in days; 0 where padded."""
    context: Floats
    """`[n, 4]` hour and weekday on circles."""


class _Fitted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    history_length: int = Field(ge=1, le=512)
    price: ZScore
    price_edges: tuple[float, ...]
    vectors: tuple[str, ...] = ()
    """Names of the vector columns."""
    vectors_digest: str = ""
    """Of the vectors of the items that training saw."""


@dataclass(frozen=True)
class TowerEncoder:
    """Vocabularies and fitted transforms of both towers. `fit` once on training data, `apply` for ever after."""

    users: Vocabulary
    items: Vocabulary
    item_attributes: dict[str, Vocabulary]
    user_attributes: dict[str, Vocabulary]
    fitted: _Fitted
    directions: Mapping[str, Directions] = field(default_factory=dict)
    """Of each vector column."""
    seen_vectors: Halves = field(default_factory=lambda: np.zeros((1, 0), np.float16))
    """What `CandidateInputs.numbers` says of the vector of each item, by embedding index `[num_items + 1, vectors]`."""

    @classmethod
    def fit(
        cls,
        *,
        users: pa.Table,
        items: pa.Table,
        history_length: int,
        vector_dim: int = VECTOR_DIM,
        like: Self | None = None,
    ) -> Self:
        """Of the users and items that training saw (columns of `DIM_USERS`, `DIM_ITEMS`); all others are "unknown".

        Args:
            vector_dim: numbers kept of each vector, at most.
            like: an encoder whose directions of vectors are taken over: weights learned along others would mean nothing here.
        """
        if like is None:
            columns = ((name, embedding(items, name)) for name in embedding_names(items))
            directions = {name: Directions.fit(column, at_most=vector_dim) for name, column in columns}
        else:
            directions = dict(like.directions)
        prices = items["price"].fill_null(float("nan")).to_numpy()
        known = prices[np.isfinite(prices)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, PRICE_BUCKETS + 1)[1:-1])) if len(known) else np.empty(0)
        known_items = Vocabulary.fit(items["item_id"].to_pylist())
        seen_vectors = np.zeros((len(known_items) + 1, sum(1 + each.kept for each in directions.values())), np.float16)
        seen_vectors[known_items.rows(items["item_id"]) + 1] = _seen(directions, items)
        return cls(
            users=Vocabulary.fit(users["user_id"].to_pylist()),
            items=known_items,
            item_attributes={name: Vocabulary.fit(items[name].to_pylist()) for name in ITEM_ATTRIBUTES},
            user_attributes={name: Vocabulary.fit(users[name].to_pylist()) for name in USER_ATTRIBUTES},
            fitted=_Fitted(
                history_length=history_length,
                price=ZScore.fit(prices, log=True),
                price_edges=tuple(float(edge) for edge in edges),
                vectors=tuple(directions),
                vectors_digest=embeddings_digest(items),
            ),
            directions=directions,
            seen_vectors=seen_vectors,
        )

    @property
    def history_length(self) -> int:
        return self.fitted.history_length

    @property
    def candidate_sizes(self) -> tuple[int, ...]:
        """Rows each embedding table of `CandidateInputs.ids` needs, "unknown" included."""
        sizes = [len(self.item_attributes[name]) + 1 for name in ITEM_ATTRIBUTES]
        return (len(self.items) + 1, *sizes, sizes[0] * (PRICE_BUCKETS + 1))

    @property
    def query_sizes(self) -> tuple[int, ...]:
        return (len(self.users) + 1, *(len(self.user_attributes[name]) + 1 for name in USER_ATTRIBUTES))

    @property
    def vector_sizes(self) -> tuple[int, ...]:
        """Numbers that each vector column has in `CandidateInputs.numbers`, after the price."""
        return tuple(1 + each.kept for each in self.directions.values())

    def item_indexes(self, item_ids: pa.ChunkedArray) -> Rows:
        """Embedding index of each item `[n]`; a catalogue keeps this so that histories become indexes by one gather."""
        return self.items.rows(item_ids) + 1

    def candidates(self, items: pa.Table) -> CandidateInputs:
        """Of a table with the columns of `DIM_ITEMS`, in its order."""
        prices = items["price"].fill_null(float("nan")).to_numpy().astype(np.float64)
        attributes = [self.item_attributes[name].rows(items[name]) + 1 for name in ITEM_ATTRIBUTES]
        buckets = np.where(np.isfinite(prices), np.searchsorted(self.fitted.price_edges, prices) + 1, 0)
        cross = attributes[0] * (PRICE_BUCKETS + 1) + buckets
        ids = np.stack([self.item_indexes(items["item_id"]), *attributes, cross], axis=1).astype(np.int32)
        return CandidateInputs(
            ids, np.concatenate([self.fitted.price.apply(prices)[:, None], _seen(self.directions, items)], axis=1)
        )

    def user_ids(self, users: pa.Table) -> Rows:
        """`QueryInputs.ids` of a table with the columns of `DIM_USERS` `[n, 1 + attributes]`."""
        columns = [
            self.users.rows(users["user_id"]),
            *(self.user_attributes[n].rows(users[n]) for n in USER_ATTRIBUTES),
        ]
        return (np.stack(columns, axis=1) + 1).astype(np.int32)

    def query(self, user_ids: Rows, history: History, *, item_indexes: Rows, at: int) -> QueryInputs:
        """Of one user at the instant `at`.

        Args:
            user_ids: `[1 + attributes]`, a row of `user_ids()`; zeros for a stranger.
            item_indexes: `[catalogue]` of the catalogue the history's rows point into.
        """
        newest = slice(None, -self.history_length - 1, -1)
        rows = history.item_rows[newest]
        size = len(rows)
        items, events, ages = np.zeros((3, 1, self.history_length), np.float32)
        items[0, :size] = item_indexes[rows]
        events[0, :size] = history.event_codes[newest].astype(np.int32) + 1
        ages[0, :size] = _log_ages(at - history.occurred_at[newest])
        return QueryInputs(
            ids=user_ids[None, :].astype(np.int32),
            history_items=items.astype(np.int32),
            history_events=events.astype(np.int32),
            history_ages=ages,
            context=cyclical_instant(at)[None, :],
        )

    def queries(
        self, user_ids: Rows, histories: Histories, user_rows: Rows, at: Seconds, *, item_indexes: Rows
    ) -> QueryInputs:
        """Of many moments at once: what user `user_rows[i]` had done *before* the instant `at[i]`. Equal to `query` row by row.

        Args:
            user_ids: `[num_users, 1 + attributes]`, all users of `histories`.
        """
        ends = _events_before(histories, user_rows, at)
        starts = histories.starts[user_rows]
        positions = ends[:, None] - 1 - np.arange(self.history_length)[None, :]
        real = positions >= starts[:, None]
        positions = np.where(real, positions, 0)
        if not len(histories.item_rows):
            no_items = np.zeros(real.shape, np.int32)
            return QueryInputs(
                user_ids[user_rows],
                no_items,
                no_items,
                np.zeros(real.shape, np.float32),
                cyclical_time(at),
            )
        ages = _log_ages(at[:, None] - histories.occurred_at[positions])
        return QueryInputs(
            ids=user_ids[user_rows],
            history_items=np.where(real, item_indexes[histories.item_rows[positions]], 0).astype(np.int32),
            history_events=np.where(real, histories.event_codes[positions].astype(np.int32) + 1, 0).astype(np.int32),
            history_ages=np.where(real, ages, 0).astype(np.float32),
            context=cyclical_time(at),
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, vocabulary in self._vocabularies().items():
            vocabulary.save(folder / f"{name}.arrow")
        (folder / "fitted.json").write_text(self.fitted.model_dump_json(indent=1))
        for name, directions in self.directions.items():
            directions.save(folder / f"vector_{name}.npz")
        if self.directions:
            np.save(folder / SEEN_VECTORS, self.seen_vectors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        def of(name: str) -> Vocabulary:
            return Vocabulary.load(folder / f"{name}.arrow")

        fitted = _Fitted.model_validate_json((folder / "fitted.json").read_text())
        vectors: dict[str, Any] = {}
        if fitted.vectors:
            vectors["directions"] = {name: Directions.load(folder / f"vector_{name}.npz") for name in fitted.vectors}
            # Mapped: whoever only encodes requests never looks into it.
            vectors["seen_vectors"] = np.load(folder / SEEN_VECTORS, mmap_mode="r", allow_pickle=False)
        return cls(
            users=of("users"),
            items=of("items"),
            item_attributes={name: of(f"item_{name}") for name in ITEM_ATTRIBUTES},
            user_attributes={name: of(f"user_{name}") for name in USER_ATTRIBUTES},
            fitted=fitted,
            **vectors,
        )

    def _vocabularies(self) -> dict[str, Vocabulary]:
        return {
            "users": self.users,
            "items": self.items,
            **{f"item_{name}": vocabulary for name, vocabulary in self.item_attributes.items()},
            **{f"user_{name}": vocabulary for name, vocabulary in self.user_attributes.items()},
        }


def _seen(directions: Mapping[str, Directions], items: pa.Table) -> Floats:
    """What a tower sees of the items' vectors `[n, vectors]`."""
    nothing = np.zeros((len(items), 0), np.float32)
    return np.concatenate([nothing, *(each.seen(items, name) for name, each in directions.items())], axis=1)


def _log_ages(seconds: NDArray[np.int64]) -> Floats:
    return np.log1p(np.maximum(seconds, 0) / SECONDS_PER_DAY).astype(np.float32)


def _events_before(histories: Histories, user_rows: Rows, at: Seconds) -> Seconds:
    """End position of each user's events strictly before `at`: one sorted search over (user, time) keys."""
    if not len(histories.occurred_at) or not len(at):
        return histories.starts[user_rows]
    owners = np.repeat(np.arange(histories.num_users), np.diff(histories.starts))
    epoch = min(int(histories.occurred_at.min()), int(at.min()))
    span = max(int(histories.occurred_at.max()), int(at.max())) - epoch + 1
    keys = owners * span + (histories.occurred_at - epoch)
    return np.searchsorted(keys, user_rows.astype(np.int64) * span + (at - epoch), side="left")
