"""Item vectors of a catalogue in shards: a killed run makes the missing ones, and an unchanged shard is made once."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml.contract.files import locked, sync, write_atomically
from ml.contract.manifest import file_entry
from ml.contract.types import Floats
from ml.features.tower_inputs import CandidateInputs, TowerEncoder

ROWS_PER_SHARD = 100_000
JOINED = "vectors.npy"

Embed = Callable[[CandidateInputs], Floats]
"""`[n, ...] -> [n, d]`: the candidate tower."""


def embed_in_shards(
    items: pa.Table, embed: Embed, *, encoder: TowerEncoder, tower: str, folder: Path, rows: int = ROWS_PER_SHARD
) -> Floats:
    """A vector of every item `[num_items, d]`, memory-mapped from `folder`: no more than one shard is in memory.

    Args:
        items: columns of `DIM_ITEMS`.
        tower: names the tower; another one has another name.
        folder: shards of an earlier call are kept there and used again where nothing they are made of has changed.
    """
    with locked(folder):  # another run of this home would forget these shards while they are made
        shards = []
        for start in range(0, max(len(items), 1), rows):
            inputs = encoder.candidates(items.slice(start, rows))
            shards.append(_Shard(folder, _key(inputs, tower)))
            if not shards[-1].is_whole():
                shards[-1].write(embed(inputs))
        _forget_all_but(shards, folder)
        return _joined([shard.path for shard in shards], folder / JOINED)


@dataclass(frozen=True)
class _Shard:
    """An array file and, beside it, its hash."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        return self.folder / f"shard-{self.key}.npy"

    @property
    def hash_path(self) -> Path:
        return self.path.with_suffix(".sha256")

    def is_whole(self) -> bool:
        if not (self.path.is_file() and self.hash_path.is_file()):
            return False
        return self.hash_path.read_text() == file_entry(self.path).sha256

    def write(self, vectors: Floats) -> None:
        np.save(self.path, vectors)
        sync(self.path)
        write_atomically(self.hash_path, file_entry(self.path).sha256)  # last: a shard without it is not finished


def _key(inputs: CandidateInputs, tower: str) -> str:
    """Hash of all that decides a shard's vectors."""
    hashed = sha256(f"{tower} {inputs.ids.shape}".encode())
    for array in (inputs.ids, inputs.numbers):
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.hexdigest()[:24]


def _forget_all_but(shards: list[_Shard], folder: Path) -> None:
    kept = {path for shard in shards for path in (shard.path, shard.hash_path)}
    for path in set(folder.glob("shard-*")) - kept:
        path.unlink()


def _joined(paths: list[Path], path: Path) -> Floats:
    """The shards in one file. An older one that somebody still maps is replaced, not written over."""
    parts = [np.load(part, mmap_mode="r", allow_pickle=False) for part in paths]
    shape = (sum(len(part) for part in parts), parts[0].shape[1])
    if not shape[0]:  # nothing cannot be mapped
        return np.empty(shape, np.float32)
    draft = path.with_name(f".{path.name}")
    whole = np.lib.format.open_memmap(draft, mode="w+", dtype=np.float32, shape=shape)
    np.concatenate(parts, out=whole)
    whole.flush()
    draft.replace(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)
