"""Every item ranked for every user, and judged: our evaluator beside `FactorizedTopK` of TensorFlow Recommenders.

    python -m benchmarks.full_ranking

As many users and items as Gowalla has, random unit vectors, one wanted item a user. Ours makes the hundred best items of each user
and their recall, as the leaderboard does. Theirs is the tutorial's `tfrs.metrics.FactorizedTopK`, candidates in batches of 128 and, to its
credit, of 4,096 too; it is asked about `--sample` of the users, and its time is taken to grow with their number. CPU-seconds of the process.
"""

import argparse
import time

import numpy as np

from benchmarks.leaderboard.contest import DEPTH, best_of_dense
from ml.contract.types import Floats, Rows
from ml.evaluation.lists import row_blocks
from ml.evaluation.ranking_metrics import Hits, Relevant, recall_at_k
from ml.retrieval.legacy_keras import tf, tfrs

USERS, ITEMS, DIMENSION = 30_000, 41_000, 64
SAMPLE, QUERIES_AT_ONCE = 512, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="users the peer is asked about")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    users, items = (_unit(rng.standard_normal((n, DIMENSION))) for n in (arguments.users, arguments.items))
    wanted = rng.integers(0, len(items), len(users)).astype(np.int32)
    ours = _ours(users, items, wanted)
    print(f"Aisle, {len(users)} users: {ours:.1f} CPU-s", flush=True)
    asked = slice(0, arguments.sample)
    for at_once in (4_096, 128):
        part = _theirs(users[asked], items, wanted[asked], at_once=at_once)
        theirs = part * len(users) / len(users[asked])
        print(
            f"FactorizedTopK, {at_once} candidates at once, {len(users[asked])} users: {part:.1f} CPU-s; "
            f"scaled to {len(users)}: {theirs:.0f}, ratio {theirs / ours:.1f}",
            flush=True,
        )


def _unit(vectors: np.ndarray) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _ours(users: Floats, items: Floats, wanted: Rows) -> float:
    started = time.process_time()
    lists = np.concatenate([best_of_dense(users[block] @ items.T, k=DEPTH) for block in row_blocks(len(users))])
    relevant = Relevant.of_pairs(np.arange(len(users), dtype=np.int32), wanted, num_users=len(users))
    recall_at_k(Hits.of(lists, relevant), k=DEPTH)
    return time.process_time() - started


def _theirs(users: Floats, items: Floats, wanted: Rows, *, at_once: int) -> float:
    """Of the second pass: the first one traces the graph."""
    metric = tfrs.metrics.FactorizedTopK(candidates=tf.data.Dataset.from_tensor_slices(items).batch(at_once))

    def judge() -> None:
        for start in range(0, len(users), QUERIES_AT_ONCE):
            rows = slice(start, start + QUERIES_AT_ONCE)
            metric.update_state(tf.constant(users[rows]), tf.constant(items[wanted[rows]]))
        [float(result) for result in metric.result()]

    judge()
    started = time.process_time()
    judge()
    return time.process_time() - started


if __name__ == "__main__":
    main()
