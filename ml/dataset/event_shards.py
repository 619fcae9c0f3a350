"""A shop's events as the warehouse encoded them: numbers alone, in shards that are worked on one after the other."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from ml.contract.columns import ENCODED_EVENTS
from ml.contract.errors import DataError
from ml.contract.events import EVENT_TYPES
from ml.contract.files import write_atomically
from ml.contract.manifest import file_entry
from ml.features.log import EVENT_ORDER, InteractionLog
from ml.features.vocabulary import Vocabulary

ROWS_PER_SHARD = 4_000_000
"""About 0.2 GB of events, and 0.6 GB of what is made of them: what one step of work may hold."""
ROWS_PER_GROUP = 262_144
MANIFEST = "manifest.json"


class ShardFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    sha256: str


class EventManifest(BaseModel):
    """What a folder of event shards holds. It is written last: a folder without it is not finished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str]
    shards: tuple[ShardFile, ...]


@dataclass(frozen=True)
class EventShards:
    """Tables with the columns of `ENCODED_EVENTS`, each in the order of `EVENT_ORDER`. All events of a user are in one."""

    shards: tuple[ds.Dataset, ...]

    @classmethod
    def of(cls, events: pa.Table, *, num_shards: int = 1) -> Self:
        """A table that is in memory already."""
        parts = (events.filter(_in_shard(events, shard, num_shards)) for shard in range(num_shards))
        return cls(tuple(ds.dataset(_in_order(part)) for part in parts))

    @classmethod
    def write(cls, exported: Sequence[Path], folder: Path, *, rows_per_shard: int = ROWS_PER_SHARD) -> Self:
        """The shards of Parquet files that came in any order, as zstd Parquet with a manifest.

        The split is made here, not by one export per shard: a warehouse that bills by the byte is asked once.
        """
        num_rows = sum(pq.read_metadata(file).num_rows for file in exported)
        num_shards = max(-(-num_rows // rows_per_shard), 1)
        with TemporaryDirectory(dir=folder.parent) as scratch:
            parts = _split(exported, Path(scratch), num_shards)
            write_shards((_in_order(pq.read_table(part)) for part in parts), folder)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """What `write` or `save` left in a folder.

        Raises:
            DataError: the folder is not finished, or a file is not the one that was written.
        """
        if not (folder / MANIFEST).is_file():
            raise DataError(f"Expected {MANIFEST} in {folder}. Received: none. Materialise `training_examples` again.")
        manifest = EventManifest.model_validate_json((folder / MANIFEST).read_text())
        for shard in manifest.shards:
            _require_unaltered(folder / shard.name, shard.sha256)
        return cls(tuple(ds.dataset(folder / shard.name, schema=ENCODED_EVENTS) for shard in manifest.shards))

    def save(self, folder: Path) -> None:
        write_shards(self.tables(), folder)

    def __len__(self) -> int:
        return sum(shard.count_rows() for shard in self.shards)

    def known_before(self, cut: datetime) -> Self:
        """Only what had happened and was known before an instant."""
        until = _naive(cut)
        return self._where((pc.field("occurred_at") < until) & (pc.field("known_at") < until))

    def tables(self) -> Iterator[pa.Table]:
        """One shard in memory at a time."""
        return (shard.to_table() for shard in self.shards)

    def logs(self) -> Iterator[InteractionLog]:
        """One shard in memory at a time. Baskets are numbered anew in each."""
        return map(InteractionLog.from_encoded, self.tables())

    def log(self) -> InteractionLog:
        """Everything in memory, about 40 bytes an event."""
        tables = list(self.tables())
        return InteractionLog.from_encoded(tables[0] if len(tables) == 1 else _in_order(pa.concat_tables(tables)))

    def between(self, start: datetime, end: datetime) -> pa.Table:
        """What happened in [start, end)."""
        at = pc.field("occurred_at")
        return pa.concat_tables(self._where((at >= _naive(start)) & (at < _naive(end))).tables())

    def first_at(self) -> datetime:
        """When the oldest event happened.

        Raises:
            DataError: there is no event.
        """
        columns = (shard.to_table(columns=["occurred_at"])["occurred_at"] for shard in self.shards)
        firsts = [first for first in (pc.min(column).as_py() for column in columns) if first is not None]
        if not firsts:
            raise DataError("A snapshot needs at least one event. Received: none. Land more days first.")
        return min(firsts).replace(tzinfo=UTC)

    def digest(self) -> str:
        """Changes whenever any value does."""
        hashed = sha256()
        for table in self.tables():
            for column in table.itercolumns():
                hashed.update(np.packbits(column.is_null().to_numpy()).tobytes())
                hashed.update(np.ascontiguousarray(_numbers(column)).data)
        return hashed.hexdigest()

    def _where(self, condition: Any) -> Self:
        return type(self)(tuple(shard.filter(condition) for shard in self.shards))


def encode(interactions: pa.Table, *, users: Vocabulary, items: Vocabulary) -> pa.Table:
    """A table with the columns of `FCT_INTERACTIONS` as `ENCODED_EVENTS`: in memory, what the warehouse's SQL does there.

    Events of users or items outside the vocabularies are left out.
    """
    event_types = Vocabulary.of([str(event_type) for event_type in EVENT_TYPES])
    baskets = interactions["basket_id"]
    columns = {
        "user_row": users.rows(interactions["user_id"]),
        "item_row": items.rows(interactions["item_id"]),
        "event_code": event_types.rows(interactions["event_type"]),
        "basket_number": Vocabulary.fit(baskets.to_pylist()).rows(baskets),
        **{name: interactions[name] for name in ("occurred_at", "known_at", "quantity", "price", "amount")},
    }
    encoded = pa.table({name: columns[name] for name in ENCODED_EVENTS.names}).cast(ENCODED_EVENTS)
    return encoded.filter((pc.field("user_row") >= 0) & (pc.field("item_row") >= 0))


def write_shards(tables: Iterable[pa.Table], folder: Path) -> None:
    """One Parquet file per table, then the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, table in enumerate(tables):
        path = folder / f"events-{number:05d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=ROWS_PER_GROUP)
        files.append(ShardFile(name=path.name, rows=len(table), sha256=file_entry(path).sha256))
    columns = {field.name: str(field.type) for field in ENCODED_EVENTS}
    manifest = EventManifest(columns=columns, shards=tuple(files))
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=1))


def _split(exported: Sequence[Path], folder: Path, num_shards: int) -> list[Path]:
    """One pass over the files, a row group at a time."""
    parts = [folder / f"{shard}.parquet" for shard in range(num_shards)]
    with ExitStack() as stack:
        writers = [stack.enter_context(pq.ParquetWriter(part, ENCODED_EVENTS, compression="lz4")) for part in parts]
        for batch in _batches(exported):
            for shard, writer in enumerate(writers):
                writer.write_table(batch.filter(_in_shard(batch, shard, num_shards)))
    return parts


def _batches(exported: Sequence[Path]) -> Iterator[pa.Table]:
    for path in exported:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_GROUP, columns=ENCODED_EVENTS.names):
                # BigQuery knows one kind of integer, one of float, and instants with a zone.
                yield pa.Table.from_batches([batch]).cast(ENCODED_EVENTS)


def _in_shard(events: pa.Table, shard: int, num_shards: int) -> pa.Array:
    return pa.array(events["user_row"].to_numpy() % num_shards == shard)


def _in_order(events: pa.Table) -> pa.Table:
    return events.sort_by([(column, "ascending") for column in EVENT_ORDER]).combine_chunks()


def _require_unaltered(path: Path, expected: str) -> None:
    received = file_entry(path).sha256 if path.is_file() else "no such file"
    if received != expected:
        raise DataError(
            f"{path} must have the sha256 {expected}. Received: {received}. Materialise `training_examples` again."
        )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Values, 0 where null: what lies under a null is nobody's."""
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    return plain.fill_null(0).to_numpy()


def _naive(instant: datetime) -> pa.Scalar:
    return pa.scalar(instant.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us"))
