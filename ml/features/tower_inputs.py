"""What the two towers see: one fitted encoder, used on training examples and on a request alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.types import Floats, Rows, Seconds
from ml.features.history import SECONDS_PER_DAY, Histories, History
from ml.features.transforms import ZScore, cyclical_instant, cyclical_time
from ml.features.vocabulary import Vocabulary

ITEM_ATTRIBUTES = ("category", "sub_category", "brand")
USER_ATTRIBUTES = ("country", "segment")
PRICE_BUCKETS = 8


@dataclass(frozen=True)
class CandidateInputs:
    """Of `n` items. Indexes into embedding tables: 0 is "unknown", a known value is its vocabulary row + 1."""

    ids: Rows
    """`[n, 2 + attributes]`: item, category, sub-category, brand, category x price bucket."""
    numbers: Floats
    """`[n, 1]`: log price, z-scored."""


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


@dataclass(frozen=True)
class TowerEncoder:
    """Vocabularies and fitted transforms of both towers. `fit` once on training data, `apply` for ever after."""

    users: Vocabulary
    items: Vocabulary
    item_attributes: dict[str, Vocabulary]
    user_attributes: dict[str, Vocabulary]
    fitted: _Fitted

    @classmethod
    def fit(cls, *, users: pa.Table, items: pa.Table, history_length: int) -> Self:
        """Of the users and items that training saw (columns of `DIM_USERS`, `DIM_ITEMS`); all others are "unknown"."""
        prices = items["price"].fill_null(float("nan")).to_numpy()
        known = prices[np.isfinite(prices)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, PRICE_BUCKETS + 1)[1:-1])) if len(known) else np.empty(0)
        return cls(
            users=Vocabulary.fit(users["user_id"].to_pylist()),
            items=Vocabulary.fit(items["item_id"].to_pylist()),
            item_attributes={name: Vocabulary.fit(items[name].to_pylist()) for name in ITEM_ATTRIBUTES},
            user_attributes={name: Vocabulary.fit(users[name].to_pylist()) for name in USER_ATTRIBUTES},
            fitted=_Fitted(
                history_length=history_length,
                price=ZScore.fit(prices, log=True),
                price_edges=tuple(float(edge) for edge in edges),
            ),
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
        return CandidateInputs(ids, self.fitted.price.apply(prices)[:, None])

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

    @classmethod
    def load(cls, folder: Path) -> Self:
        def of(name: str) -> Vocabulary:
            return Vocabulary.load(folder / f"{name}.arrow")

        return cls(
            users=of("users"),
            items=of("items"),
            item_attributes={name: of(f"item_{name}") for name in ITEM_ATTRIBUTES},
            user_attributes={name: of(f"user_{name}") for name in USER_ATTRIBUTES},
            fitted=_Fitted.model_validate_json((folder / "fitted.json").read_text()),
        )

    def _vocabularies(self) -> dict[str, Vocabulary]:
        return {
            "users": self.users,
            "items": self.items,
            **{f"item_{name}": vocabulary for name, vocabulary in self.item_attributes.items()},
            **{f"user_{name}": vocabulary for name, vocabulary in self.user_attributes.items()},
        }


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
