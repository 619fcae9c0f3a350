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
from ml.features.log import InteractionLog
from ml.features.vocabulary import Vocabulary

TABLES = ("interactions", "items", "users", "item_features", "user_features")


@dataclass(frozen=True)
class TrainingData:
    """Tables with the columns of `FCT_INTERACTIONS`, `DIM_ITEMS`, `DIM_USERS`, `FEAT_ITEMS`, `FEAT_USERS`."""

    interactions: pa.Table
    items: pa.Table
    users: pa.Table
    item_features: pa.Table
    user_features: pa.Table
    cut_at: datetime
    """T: midnight after the last day, UTC."""

    @cached_property
    def item_ids(self) -> Vocabulary:
        return Vocabulary.fit(self.items["item_id"].to_pylist())

    @cached_property
    def user_ids(self) -> Vocabulary:
        return Vocabulary.fit(self.users["user_id"].to_pylist())

    @cached_property
    def items_by_row(self) -> pa.Table:
        return self.items.sort_by("item_id")

    @cached_property
    def users_by_row(self) -> pa.Table:
        return self.users.sort_by("user_id")

    @cached_property
    def log(self) -> InteractionLog:
        """All events, in the rows of `user_ids` and `item_ids`."""
        return InteractionLog.from_table(self.interactions, users=self.user_ids, items=self.item_ids)

    @property
    def start_at(self) -> datetime:
        first: datetime = pc.min(self.interactions["occurred_at"]).as_py()
        return first.replace(tzinfo=UTC)

    def as_of(self, cut_at: datetime) -> Self:
        """The snapshot as it would have been taken at an earlier cut: events that were known, the rest unchanged."""
        until = pa.scalar(cut_at.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us"))
        known = pc.and_(pc.less(self.interactions["occurred_at"], until), pc.less(self.interactions["known_at"], until))
        return replace(self, interactions=self.interactions.filter(known), cut_at=cut_at)

    def item_features_at(self, cut: datetime) -> pa.Table:
        return _at(self.item_features, cut)

    def user_features_at(self, cut: datetime) -> pa.Table:
        return _at(self.user_features, cut)

    @property
    def digest(self) -> str:
        """Changes whenever any value in any table does."""
        hashed = sha256(self.cut_at.isoformat().encode())
        for name in TABLES:
            for column in getattr(self, name).combine_chunks().itercolumns():
                for buffer in (buffer for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None):
                    hashed.update(buffer)
        return hashed.hexdigest()[:16]

    def summary(self) -> dict[str, int | str]:
        return {
            "dagster/row_count": len(self.interactions),
            "events": len(self.interactions),
            "items": len(self.items),
            "users": len(self.users),
            "from": self.start_at.isoformat(),
            "until": self.cut_at.isoformat(),
        }

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            pq.write_table(getattr(self, name), folder / f"{name}.parquet", compression="zstd")
        (folder / "cut_at.txt").write_text(self.cut_at.isoformat())

    @classmethod
    def load(cls, folder: Path) -> Self:
        tables = {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}
        return cls(**tables, cut_at=datetime.fromisoformat((folder / "cut_at.txt").read_text()))


def weekly_cuts(cut_at: datetime, *, weeks: int) -> tuple[datetime, ...]:
    """T, T-7d, T-14d ...: `weeks + 1` instants, the newest first.

    >>> [f"{cut:%m-%d}" for cut in weekly_cuts(datetime(2026, 3, 15, tzinfo=UTC), weeks=2)]
    ['03-15', '03-08', '03-01']
    """
    return tuple(cut_at - timedelta(days=7 * week) for week in range(weeks + 1))


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
