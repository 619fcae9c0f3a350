"""What a bundle knows of each user: features at its cut, tower ids, history."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ml.contract.columns import USER_FEATURES
from ml.contract.types import Floats
from ml.features.history import Histories, History
from ml.features.log import InteractionLog
from ml.features.tower_inputs import USER_ATTRIBUTES
from ml.features.vocabulary import Vocabulary

HISTORY_KEPT = 1_000
"""Newest events kept per user; a wholesaler's biggest customer buys a few hundred lines a month."""


@dataclass(frozen=True)
class KnownUser:
    """One user as a bundle knows them; a stranger has zeros and no history."""

    row: int
    features: Floats
    """`[len(USER_FEATURES)]`"""
    history: History


@dataclass(frozen=True)
class UserTable:
    """One row per user with a history before the cut."""

    table: pa.Table
    """user_id, the attributes of the towers, `USER_FEATURES`."""
    histories: Histories

    @classmethod
    def at_cut(cls, log: InteractionLog, users: pa.Table, features: pa.Table, *, user_ids: Vocabulary) -> Self:
        """Users as known at a cut.

        Args:
            log: only what was known before the cut; its item rows are those of the catalogue at the cut.
            users: `DIM_USERS`.
            features: rows of `FEAT_USERS` of that cut.
            user_ids: what the log's user rows mean.
        """
        present = np.unique(log.user_rows)
        attributes = Vocabulary.of(users["user_id"].to_pylist()).rows(user_ids.ids)[present]
        measured = Vocabulary.of(features["user_id"].to_pylist()).rows(user_ids.ids)[present]
        columns = {"user_id": user_ids.ids.take(pa.array(present))}
        for name in USER_ATTRIBUTES:
            columns[name] = users[name].take(pa.array(attributes, mask=attributes < 0))
        for name in USER_FEATURES:
            values = features[name].fill_null(0.0).to_numpy()
            known = np.where(measured >= 0, values[measured], 0.0) if len(values) else np.zeros(len(present))
            columns[name] = pa.array(known.astype(np.float32))
        compact = np.full(len(user_ids), -1, np.int32)
        compact[present] = np.arange(len(present), dtype=np.int32)
        histories = Histories.of(log.with_user_rows(compact[log.user_rows]), num_users=len(present), last=HISTORY_KEPT)
        return cls(pa.table(columns), histories)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        ids = self.table["user_id"].combine_chunks()
        return Vocabulary(ids.chunk(0) if isinstance(ids, pa.ChunkedArray) else ids)

    @cached_property
    def features(self) -> Floats:
        """`[num_users, len(USER_FEATURES)]`"""
        return np.stack([self.table[name].to_numpy() for name in USER_FEATURES], axis=1).astype(np.float32)

    def of(self, user_id: str | None) -> KnownUser:
        row = self.vocabulary.row(user_id)
        features = self.features[row] if row >= 0 else np.zeros(len(USER_FEATURES), np.float32)
        return KnownUser(row, features, self.histories.of_user(row))

    def save(self, path: Path) -> None:
        offsets = pa.array(self.histories.starts.astype(np.int32))
        lists = {
            f"history_{name}": pa.ListArray.from_arrays(offsets, pa.array(getattr(self.histories, name)))
            for name in _HISTORY
        }
        table = pa.table({**{name: self.table[name] for name in self.table.column_names}, **lists})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())

    @classmethod
    def load(cls, path: Path) -> Self:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all().combine_chunks()
        lists = {name: table[f"history_{name}"].combine_chunks() for name in _HISTORY}
        lists = {n: c.chunk(0) if isinstance(c, pa.ChunkedArray) else c for n, c in lists.items()}
        starts = lists["item_rows"].offsets.to_numpy().astype(np.int64)
        columns = {name: column.values.to_numpy() for name, column in lists.items()}
        return cls(table.drop_columns([f"history_{name}" for name in _HISTORY]), Histories(starts, **columns))


_HISTORY = ("item_rows", "event_codes", "occurred_at", "quantity")
