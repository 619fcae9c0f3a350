"""Examples that lie on disk: for logs whose examples do not fit into memory."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.errors import DataError
from ml.contract.files import write_atomically
from ml.contract.manifest import file_entry
from ml.contract.types import Floats
from ml.dataset.examples import RetrievalExamples, shares
from ml.dataset.split import Window
from ml.dataset.stream import ahead, num_batches
from ml.features.tower_inputs import CandidateInputs, QueryInputs, TowerEncoder

GROUP_ROWS = 65_536
"""Examples read at once: 20 MB with a history of 20."""
GROUPS_PER_BUFFER = 8
"""Groups shuffled into each other. Three buffers are in memory at the most: in use, being made, being shuffled."""
MANIFEST = "manifest.json"
_QUERY_ARRAYS = tuple(f"queries.{part.name}" for part in fields(QueryInputs))


@dataclass(frozen=True)
class StreamedExamples:
    """The same examples as `RetrievalExamples` would hold, in Arrow files of row groups, a file per shard of users.

    The order of an epoch is not an exact shuffle. Each shard is shuffled exactly when it is written, once; an epoch shuffles
    all groups, and the examples of every `GROUPS_PER_BUFFER` groups among each other. So two examples of one group are always
    seen within one buffer of each other; which groups share a buffer changes with every epoch.
    """

    folder: Path
    encoder: TowerEncoder
    window: Window
    candidates: CandidateInputs
    item_counts: NDArray[np.int64]
    groups: tuple[tuple[str, int], ...]
    """File and place in it of every row group."""
    digest: str

    @classmethod
    def write(cls, shards: Iterable[RetrievalExamples], folder: Path, *, group_rows: int = GROUP_ROWS) -> Self:
        """The examples of each shard as a file; what the folder held is gone. Only one shard has to be in memory at a time."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        files, item_counts, last = {}, np.zeros(0, np.int64), None
        for number, last in enumerate(shards):
            path = folder / f"examples-{number:05d}.arrow"
            _write(last.take(np.random.default_rng(number).permutation(len(last))), path, group_rows)
            files[path.name] = file_entry(path).sha256
            item_counts = last.item_counts + (item_counts if number else 0)
        if last is None:
            raise DataError("Examples are made of at least one shard. Received: none. Land some days first.")
        last.take(slice(0, 0)).save(folder)  # what all shards have in common: encoder, window, catalogue
        np.save(folder / "item_counts.npy", item_counts)
        write_atomically(folder / MANIFEST, json.dumps(files, indent=1))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        files: dict[str, str] = json.loads((folder / MANIFEST).read_text())
        common = RetrievalExamples.load(folder)
        digest = sha256(f"{common.digest} {sorted(files.items())} {GROUPS_PER_BUFFER}".encode())
        return cls(
            folder,
            common.encoder,
            common.window,
            common.candidates,
            np.load(folder / "item_counts.npy", allow_pickle=False),
            tuple((name, group) for name in files for group in range(_num_groups(folder / name))),
            digest.hexdigest(),
        )

    def __len__(self) -> int:
        return int(self.item_counts.sum())

    @property
    def item_shares(self) -> Floats:
        return shares(self.item_counts)

    @cached_property
    def known_targets(self) -> Floats:
        """In memory all at once: four bytes per purchase."""
        return np.concatenate([np.empty(0, np.float32), *(self._read(*place).known_targets for place in self.groups)])

    @cached_property
    def num_clicks(self) -> int:
        return sum(self._read(*place).num_clicks for place in self.groups)

    def batches(self, *, batch_size: int, seed: int, epoch: int) -> Iterator[RetrievalExamples]:
        """One epoch; the next buffer is made while one is in use."""
        size, left = min(batch_size, len(self)), num_batches(len(self), batch_size=batch_size)
        rest: list[RetrievalExamples] = []
        for buffer in ahead(self._buffers(seed, epoch)):
            held = rest[0].then([buffer]) if rest else buffer
            whole = min(len(held) // size, left)
            for start in range(0, whole * size, size):
                yield held.take(slice(start, start + size))
            left, rest = left - whole, [held.take(slice(whole * size, None))]

    def _buffers(self, seed: int, epoch: int) -> Iterator[RetrievalExamples]:
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(self.groups))
        for start in range(0, len(order), GROUPS_PER_BUFFER):
            first, *others = (self._read(*self.groups[i]) for i in order[start : start + GROUPS_PER_BUFFER])
            buffer = first.then(others)
            yield buffer.take(rng.permutation(len(buffer)))

    def _read(self, name: str, group: int) -> RetrievalExamples:
        # Not a memory map: pages of a mapped file stay in the process until somebody else needs the memory.
        with pa.OSFile(str(self.folder / name)) as source, pa.ipc.open_file(source) as file:
            read = {column: _array(values) for column, values in _columns(file.get_batch(group))}
        queries = QueryInputs(*(read.pop(column) for column in _QUERY_ARRAYS))
        return RetrievalExamples(
            encoder=self.encoder, window=self.window, candidates=self.candidates, queries=queries, **read
        )


def _write(examples: RetrievalExamples, path: Path, group_rows: int) -> None:
    columns = {name: _column(array) for name, array in examples.rows().items()}
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=group_rows)


def _column(array: NDArray[np.generic]) -> pa.Array:
    """`[n]` as it is, `[n, m]` as lists of m."""
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    return flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, array.shape[1])


def _array(column: pa.Array) -> NDArray[Any]:
    if not pa.types.is_fixed_size_list(column.type):
        return column.to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy().reshape(-1, column.type.list_size)


def _columns(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Array]]:
    return zip(batch.schema.names, batch.columns, strict=True)


def _num_groups(path: Path) -> int:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        return file.num_record_batches
