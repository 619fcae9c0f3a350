"""An index over ten million vectors on one machine: built in parts, kept on disk, searched. A killed build goes on with its next part.

The vectors are made a part at a time and read through a memory map, so what is resident is ScaNN's own. The search is measured in a process
of its own, which holds nothing of the build.
"""

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ml.contract.types import Floats
from ml.index.planner import IndexSettings, build_index
from ml.runtime.search import Index, open_index

VECTORS, DIMENSION, KINDS, QUERIES = 10_000_000, 64, 50_000, 200
SPREAD = 0.5
AT_ONCE = 500_000
REPORT = "built.txt"


def main(folder: Path, *, vectors: int = VECTORS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / f"index-{vectors}"
    for step in (_build, _search):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            print(process.submit(step, folder, index, vectors).result(), flush=True)


def _build(folder: Path, index: Path, count: int) -> str:
    if index.exists():
        return "built in an earlier run:\n" + (index / REPORT).read_text()
    rows = _vectors(folder / f"vectors-{count}.npy", count)
    settings = IndexSettings(min_recall=0.9, max_queries=QUERIES)
    built, build_s = _timed(lambda: build_index(rows, _queries(rows), settings=settings, folder=folder / "parts"))
    built.index.save(index)
    told = f"built in {build_s / 60:.1f} minutes ({time.process_time() / 60:.1f} of CPU), at most {_most_gb():.2f} GB held: {built.report}"
    (index / REPORT).write_text(told)
    return told


def _search(folder: Path, index: Path, count: int) -> str:
    rows = np.load(folder / f"vectors-{count}.npy", mmap_mode="r")
    queries = _queries(rows)
    opened, open_s = _timed(lambda: open_index(index, rows))
    for query in queries:
        opened.search(query[None, :], 500)
    seconds = [_timed(lambda query=query: opened.search(query[None, :], 500))[1] for query in queries]
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1e3
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    return (
        f"opened in {open_s:.1f} s, {size / 1e9:.2f} GB on disk, {_most_gb():.2f} GB held; 500 nearest: "
        f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, CPU {_cpu_ms(opened, queries):.2f} ms"
    )


def _cpu_ms(index: Index, queries: Floats) -> float:
    before = time.process_time()
    for query in queries:
        index.search(query[None, :], 500)
    return (time.process_time() - before) / len(queries) * 1e3


def _queries(rows: Floats) -> Floats:
    """Near some of the vectors, as users lie near what they like."""
    rng = np.random.default_rng(1)
    queries = rows[rng.integers(0, len(rows), QUERIES)] + 0.05 * rng.normal(size=(QUERIES, DIMENSION)).astype(
        np.float32
    )
    return np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True))


def _most_gb() -> float:
    """The most memory this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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
