"""An index over ten million vectors on one machine: built in parts, kept on disk, searched. A killed build goes on with its next part.

The vectors are made a part at a time and read through a memory map, so what is resident is ScaNN's own.
"""

import resource
import time
from pathlib import Path

import numpy as np

from ml.index.planner import IndexSettings, build_index
from ml.runtime.search import open_index

VECTORS, DIMENSION, KINDS, QUERIES = 10_000_000, 64, 50_000, 200
SPREAD = 0.5
AT_ONCE = 500_000


def main(folder: Path, *, vectors: int = VECTORS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = _vectors(folder / f"vectors-{vectors}.npy", vectors)
    rng = np.random.default_rng(1)
    queries = rows[rng.integers(0, vectors, QUERIES)] + 0.05 * rng.normal(size=(QUERIES, DIMENSION)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    built, build_s = _timed(
        lambda: build_index(
            rows, queries, settings=IndexSettings(min_recall=0.9, max_queries=QUERIES), folder=folder / "parts"
        )
    )
    index = folder / f"index-{vectors}"
    if not index.exists():
        built.index.save(index)
    print(f"built in {build_s:.0f} s: {built.report}")
    del built
    opened, open_s = _timed(lambda: open_index(index, rows))
    seconds = np.sort([_timed(lambda query=query: opened.search(query[None, :], 500))[1] for query in queries])
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1e3
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    print(f"opened in {open_s:.1f} s, {size / 1e9:.2f} GB on disk; 500 nearest: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"most memory this process held: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def _vectors(path: Path, count: int) -> np.ndarray:
    """Unit vectors around kinds, as those of a trained tower lie."""
    if not path.exists():
        rng = np.random.default_rng(0)
        kinds = rng.normal(size=(KINDS, DIMENSION)).astype(np.float32)
        draft = path.with_suffix(".draft")
        rows = np.lib.format.open_memmap(draft, "w+", np.float32, (count, DIMENSION))
        for start in range(0, count, AT_ONCE):
            size = min(AT_ONCE, count - start)
            some = kinds[rng.integers(0, KINDS, size)] + SPREAD * rng.standard_normal((size, DIMENSION), np.float32)
            rows[start : start + size] = some / np.linalg.norm(some, axis=1, keepdims=True)
        rows.flush()
        draft.rename(path)
    return np.load(path, mmap_mode="r")


def _timed(work):  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begun
