"""Our metrics beside those of an implementation that is not ours: ranx (Bassani 2022), which compares runs by its own loops."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ml.evaluation.ranking_metrics import (
    Hits,
    PerUser,
    Relevant,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)

USERS, ITEMS, DEPTH = 200, 60, 20
OURS = {
    "recall": recall_at_k,
    "precision": precision_at_k,
    "hit_rate": hit_rate_at_k,
    "ndcg": ndcg_at_k,
    "map": average_precision_at_k,
    "mrr": reciprocal_rank_at_k,
}


@pytest.fixture(scope="module")
def judged() -> tuple[np.ndarray, list[set[int]]]:
    """Lists of many lengths, and one to thirty wanted items a user."""
    rng = np.random.default_rng(3)
    lists = np.stack([rng.permutation(ITEMS)[:DEPTH] for _ in range(USERS)]).astype(np.int32)
    lists[np.arange(DEPTH) >= rng.integers(1, DEPTH + 1, USERS)[:, None]] = -1
    return lists, [set(rng.permutation(ITEMS)[: rng.integers(1, 31)].tolist()) for _ in range(USERS)]


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate

asked = json.load(sys.stdin)
found = evaluate(Qrels(asked["wanted"]), Run(asked["lists"]), asked["metrics"], return_mean=False)
print(json.dumps({name: values.tolist() for name, values in found.items()}))
"""


@pytest.fixture(scope="module")
def theirs(judged) -> dict[str, PerUser]:
    """In a process of its own that runs ranx as plain Python: compiling its loops would take half a minute."""
    lists, wanted = judged
    names = [f"u{user:04d}" for user in range(USERS)]  # ranx sorts users by name
    scores = [{f"i{item}": DEPTH - place for place, item in enumerate(row) if item >= 0} for row in lists.tolist()]
    question = {
        "wanted": {name: {f"i{item}": 1 for item in items} for name, items in zip(names, wanted, strict=True)},
        "lists": {
            name: {item: float(score) for item, score in row.items()} for name, row in zip(names, scores, strict=True)
        },
        "metrics": [f"{name}@{k}" for name in OURS for k in (1, 5, DEPTH)],
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps(question),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return {name: np.array(values) for name, values in json.loads(answer.stdout).items()}


@pytest.mark.parametrize("k", [1, 5, DEPTH])
@pytest.mark.parametrize("name", OURS)
def test_every_user_has_the_value_ranx_gives(judged, theirs, name, k):
    lists, wanted = judged
    ours = OURS[name](Hits.of(lists, Relevant.of_lists(wanted)), k=k)
    expected = theirs[f"{name}@{k}"]
    if name == "map":  # ranx divides by all that was wanted, we by what fits into k places
        sizes = np.array([len(items) for items in wanted])
        expected = expected * sizes / np.minimum(sizes, k)
    assert len(ours) == USERS
    assert 0.01 < ours.mean() < 0.99
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
