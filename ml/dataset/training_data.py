"""The snapshot one training run sees: marts as they were, frozen, so that every later number can be redone."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.contract.errors import DataError
from ml.contract.events import EVENT_TYPES
from ml.dataset.event_shards import EventShards, encode
from ml.features.log import InteractionLog
from ml.features.vocabulary import Vocabulary

TABLES = ("items", "users", "item_features", "user_features")
EVENTS = "events"


@dataclass(frozen=True)
class TrainingData:
    """Events as numbers, and tables with the columns of `DIM_ITEMS`, `DIM_USERS`, `FEAT_ITEMS`, `FEAT_USERS`; items have a column
    more for each vector column of the shop (`ml.features.embeddings`)."""

    events: EventShards
    """In the rows of `user_ids` and `item_ids`: whoever changes `users` or `items` must encode them anew."""
    items: pa.Table
    users: pa.Table
    item_features: pa.Table
    user_features: pa.Table
    cut_at: datetime
    """T: midnight after the last day, UTC."""

    @classmethod
    def of(
        cls,
        interactions: pa.Table,
        *,
        items: pa.Table,
        users: pa.Table,
        item_features: pa.Table,
        user_features: pa.Table,
        cut_at: datetime,
    ) -> Self:
        """Of events that are in memory, with the columns of `FCT_INTERACTIONS`."""
        user_ids, item_ids = _vocabulary(users["user_id"]), _vocabulary(items["item_id"])
        events = EventShards.of(encode(interactions, users=user_ids, items=item_ids))
        return cls(events, items, users, item_features, user_features, cut_at)

    @cached_property
    def item_ids(self) -> Vocabulary:
        return _vocabulary(self.items["item_id"])

    @cached_property
    def user_ids(self) -> Vocabulary:
        return _vocabulary(self.users["user_id"])

    @cached_property
    def items_by_row(self) -> pa.Table:
        return self.items.sort_by("item_id")

    @cached_property
    def users_by_row(self) -> pa.Table:
        return self.users.sort_by("user_id")

    @cached_property
    def log(self) -> InteractionLog:
        """All events in memory, in the rows of `user_ids` and `item_ids`."""
        return self.events.log()

    @cached_property
    def start_at(self) -> datetime:
        return self.events.first_at()

    def as_of(self, cut_at: datetime) -> Self:
        """The snapshot as it would have been taken at an earlier cut: events that were known, the rest unchanged."""
        return replace(self, events=self.events.known_before(cut_at), cut_at=cut_at)

    def interactions(self, start: datetime, end: datetime) -> pa.Table:
        """What happened in [start, end) under the shop's own names: `FCT_INTERACTIONS` without keys, baskets and weights."""
        events = self.events.between(start, end)
        event_types = pa.array([str(event_type) for event_type in EVENT_TYPES])
        named = {
            "user_id": self.user_ids.ids.take(events["user_row"].combine_chunks()),
            "item_id": self.item_ids.ids.take(events["item_row"].combine_chunks()),
            "event_type": event_types.take(events["event_code"].combine_chunks()),
        }
        numbers = ("occurred_at", "known_at", "quantity", "price", "amount")
        return pa.table({**named, **{name: events[name] for name in numbers}})

    def item_features_at(self, cut: datetime) -> pa.Table:
        return _at(self.item_features, cut)

    def user_features_at(self, cut: datetime) -> pa.Table:
        return _at(self.user_features, cut)

    @property
    def digest(self) -> str:
        """Changes whenever any value in any table does."""
        hashed = sha256(f"{self.cut_at.isoformat()} {self.events.digest()}".encode())
        for name in TABLES:
            for column in getattr(self, name).combine_chunks().itercolumns():
                for buffer in (buffer for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None):
                    hashed.update(buffer)
        return hashed.hexdigest()[:16]

    def summary(self) -> dict[str, int | str]:
        return {
            "dagster/row_count": len(self.events),
            "events": len(self.events),
            "items": len(self.items),
            "users": len(self.users),
            "from": self.start_at.isoformat(),
            "until": self.cut_at.isoformat(),
        }

    def save(self, folder: Path) -> None:
        self.events.save(folder / EVENTS)
        for name in TABLES:
            pq.write_table(getattr(self, name), folder / f"{name}.parquet", compression="zstd")
        (folder / "cut_at.txt").write_text(self.cut_at.isoformat())

    @classmethod
    def load(cls, folder: Path) -> Self:
        tables = {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}
        events = EventShards.open(folder / EVENTS)
        return cls(events, **tables, cut_at=datetime.fromisoformat((folder / "cut_at.txt").read_text()))


def weekly_cuts(cut_at: datetime, *, weeks: int) -> tuple[datetime, ...]:
    """T, T-7d, T-14d ...: `weeks + 1` instants, the newest first.

    >>> [f"{cut:%m-%d}" for cut in weekly_cuts(datetime(2026, 3, 15, tzinfo=UTC), weeks=2)]
    ['03-15', '03-08', '03-01']
    """
    return tuple(cut_at - timedelta(days=7 * week) for week in range(weeks + 1))


def _vocabulary(ids: pa.ChunkedArray) -> Vocabulary:
    return Vocabulary.fit(ids.to_pylist())


def _at(features: pa.Table, cut: datetime) -> pa.Table:
    naive_cut = pa.scalar(cut.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us"))
    found = features.filter(pc.equal(features["cut_at"], naive_cut))
    if not len(found) and len(features):
        held = sorted({at.isoformat() for at in pc.unique(features["cut_at"]).to_pylist()})
        raise DataError(
            f"Expected features at the cut {cut.isoformat()}. Received: cuts {held}. "
            "Rebuild `marts/feat_items` and `marts/feat_users` with this cut among the dbt variable `cuts`."
        )
    return found
