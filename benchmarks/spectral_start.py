"""What the spectral start of the towers finds before a single step, on a published split.

python -m benchmarks.spectral_start GOWALLA/events.parquet --dims 64 128 256

A file with the columns user_id, item_id and split (train, test). Recall@20 over the whole catalogue, items of train left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from ml.contract.types import Rows
from ml.retrieval.spectral import FirstVectors, first_vectors

DEPTH = 20
BLOCK = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path)
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128, 256])
    arguments = parser.parse_args()
    train, test = read(arguments.events)
    for dim in arguments.dims:
        started = time.process_time()
        found = first_vectors(train, dim=dim, seed=0)
        cpu_seconds = time.process_time() - started
        print(f"d = {dim:4d}  recall@{DEPTH} = {recall(found, train, test):.4f}  {cpu_seconds:.0f} CPU-s")


def read(events: Path) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Who chose what in train and in test `[num_users, num_items]` each."""
    table = pq.read_table(events)
    users, items, split = _rows(table["user_id"]), _rows(table["item_id"]), table["split"].to_numpy()
    shape = int(users.max()) + 1, int(items.max()) + 1

    def of(part: str) -> sparse.csr_array:
        inside = split == part
        return sparse.csr_array((np.ones(inside.sum(), np.float32), (users[inside], items[inside])), shape=shape)

    return of("train"), of("test")


def recall(found: FirstVectors, train: sparse.csr_array, test: sparse.csr_array) -> float:
    """Mean over the users of test of the share of their items among the first `DEPTH`."""
    asked = np.flatnonzero(np.diff(test.indptr))
    shares = []
    for users in (asked[start : start + BLOCK] for start in range(0, len(asked), BLOCK)):
        scores = found.users[users] @ found.items.T
        scores[train[users].nonzero()] = -np.inf
        first = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
        wanted = test[users].toarray()
        shares.append(np.take_along_axis(wanted, first, axis=1).sum(axis=1) / wanted.sum(axis=1))
    return float(np.concatenate(shares).mean())


def _rows(column: pa.ChunkedArray) -> Rows:
    _, rows = np.unique(column.to_numpy(zero_copy_only=False), return_inverse=True)
    return rows.astype(np.int32)


if __name__ == "__main__":
    main()
