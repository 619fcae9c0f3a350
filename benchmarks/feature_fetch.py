"""A hundred features of five hundred items, ready for a ranker: Aisle beside Feast with Redis.

    python -m benchmarks.feature_fetch --peer <folder>

Feast is installed by pip into an environment of its own in that folder, which a second run uses again; redis-server is the system's own.
Both sides get the same item ids as strings, hold the same numbers, and end with the same float32 matrix; every fetch asks for other items.
Feast is used as its manual advises: one feature view, a feature service, all entities in one call, Redis without snapshots, the registry
cached, and also with the service's vectors precomputed. The faster of all is what Aisle is compared with. Client and
Redis have a core each.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.contract.columns import ITEM_FEATURES
from ml.runtime import items as items_module
from ml.runtime.items import ItemTable

NUM_ITEMS, NUM_FEATURES, FETCHED, ROUNDS = 2_000, 100, 500, 100
NAMES = tuple(f"feature_{number:03d}" for number in range(NUM_FEATURES))
FEAST = "feast[redis]==0.67.0"
CLIENT_CORE, REDIS_CORE = 0, 1
HERE = Path(__file__).resolve().parent

Floats = NDArray[np.float32]
Taken = list[tuple[float, float]]
"""Seconds of wall clock, and of the client's CPU, of each fetch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer", type=Path, required=True, help="folder of Feast's environment, made where there is none"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    folder = arguments.peer.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table, asked = _features(), _asked(arguments.rounds)
    pq.write_table(table, folder / "features.parquet")
    np.save(folder / "asked.npy", asked)
    with _redis(folder) as port:
        peers = _feast(folder, port)
    os.sched_setaffinity(0, {CLIENT_CORE})
    ours, matrix = _aisle(table, asked, folder)
    for name in peers:
        np.testing.assert_array_equal(np.load(folder / f"{name}.npy"), matrix)
    _print(ours, peers)


def _features() -> pa.Table:
    """Values of every item as of yesterday; what Feast reads and what our table is made from."""
    rng = np.random.default_rng(0)
    ids = pa.array([f"item-{number:06d}" for number in range(NUM_ITEMS)])
    at = pa.array([datetime.now(UTC) - timedelta(days=1)] * NUM_ITEMS, pa.timestamp("us", "UTC"))
    values = {name: pa.array(rng.normal(size=NUM_ITEMS).astype(np.float32)) for name in NAMES}
    return pa.table({"item_id": ids, "event_timestamp": at, **values})


def _asked(rounds: int) -> NDArray[np.int64]:
    """`[rounds, FETCHED]` rows of the items of each fetch."""
    rng = np.random.default_rng(1)
    return np.stack([rng.choice(NUM_ITEMS, FETCHED, replace=False) for _ in range(rounds)])


def _aisle(table: pa.Table, asked: NDArray[np.int64], folder: Path) -> tuple[dict[str, Taken], Floats]:
    """Seconds of each fetch, by what is given, and the matrix of the first one."""
    ids = table["item_id"].to_pylist()
    with patch.object(items_module, "ITEM_FEATURES", NAMES):  # a shop with a hundred features instead of fourteen
        ItemTable(table).save(folder / "item_table.arrow")
        items = ItemTable.load(folder / "item_table.arrow")
        features = items.features
        assert features.shape == (NUM_ITEMS, NUM_FEATURES) != (NUM_ITEMS, len(ITEM_FEATURES))
    named = [[ids[row] for row in rows] for rows in asked.tolist()]
    vocabulary = items.vocabulary

    def by_id(number: int) -> Floats:
        return features[np.array([vocabulary.row(item_id) for item_id in named[number]])]

    def by_row(number: int) -> Floats:  # as on the request path: candidates are rows already
        return features[asked[number]]

    return {"by id": _timed(by_id, len(asked)), "by row": _timed(by_row, len(asked))}, by_id(0)


def _timed(fetch: Callable[[int], Floats], rounds: int) -> Taken:
    for number in range(min(10, rounds)):
        fetch(number)
    seconds: Taken = []
    for number in range(rounds):
        started, used = time.perf_counter(), time.process_time()
        fetch(number)
        seconds.append((time.perf_counter() - started, time.process_time() - used))
    return seconds


def _feast(folder: Path, port: int) -> dict[str, Taken]:
    """Seconds of each fetch, by way of using Feast."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, FEAST], check=True)
    command = [str(python), str(HERE / "feature_fetch_feast.py"), str(folder), str(port), str(CLIENT_CORE)]
    quiet = {**os.environ, "FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(command, cwd=folder, env=quiet, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    """Port of a Redis that keeps everything in memory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(["redis-server", *options], cwd=folder, stdout=subprocess.DEVNULL) as server:
        os.sched_setaffinity(server.pid, {REDIS_CORE})
        try:
            _wait_until_up(port, server)
            yield port
        finally:
            server.terminate()


def _wait_until_up(port: int, server: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if server.poll() is not None:
                raise SystemExit("redis-server did not start.") from None
            time.sleep(0.05)


def _print(ours: dict[str, Taken], peers: dict[str, Taken]) -> None:
    rows = {f"Feast, {name}": _summary(taken) for name, taken in peers.items()}
    best = np.min(list(rows.values()), axis=0)
    rows |= {f"Aisle, {name}": _summary(taken) for name, taken in ours.items()}
    print(f"\n{NUM_FEATURES} features of {FETCHED} of {NUM_ITEMS} items, as a float32 matrix; equal on both sides\n")
    print("| | p50 | p99 | CPU p50 | Feast's best against it |\n|---|---|---|---|---|")
    for name, summary in rows.items():
        times = " / ".join(f"{ratio:,.1f}x" for ratio in best / summary)
        print(f"| {name} | {' | '.join(_shown(seconds) for seconds in summary)} | {times} |")


def _summary(taken: Taken) -> NDArray[np.float64]:
    """Median and 99th percentile of the wall clock, median of CPU."""
    wall, cpu = np.array(taken).T
    return np.array([np.median(wall), np.quantile(wall, 0.99), np.median(cpu)])


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


if __name__ == "__main__":
    main()
