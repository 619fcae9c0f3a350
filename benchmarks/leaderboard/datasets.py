"""Public data as contests: for each set one to choose by, and those that count. No contest that counts is ever chosen by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.leaderboard.contest import Contest
from benchmarks.online_retail_baselines import END, read
from ml.contract.events import EventType
from ml.contract.types import Rows, Seconds
from ml.evaluation.baselines import Past
from ml.evaluation.ranking_metrics import Relevant
from ml.features.log import InteractionLog

WEEK = int(timedelta(days=7).total_seconds())
TEST_WEEKS = 5
HELD_OUT = 0.1
"""Share of each user's items that choices are made by, where a set brings no validation part."""


@dataclass(frozen=True)
class Dataset:
    """A set, and the figures it is known by."""

    name: str
    rules: str
    """What is asked, in a sentence."""
    metrics: tuple[str, str]
    """The one that choices are made by, and one more."""
    read: Callable[[Path], tuple[Contest, Sequence[Contest]]]
    """The contest to choose by, and those that count."""


def online_retail(folder: Path) -> tuple[Contest, Sequence[Contest]]:
    """Rolling weeks; choices are made by the week before the first that counts."""
    log, num_items = read(folder / "online_retail" / "online_retail.csv.gz")
    weeks = [
        _week(log, num_items, int(END.timestamp()) - WEEK * (TEST_WEEKS + 1 - week)) for week in range(TEST_WEEKS + 1)
    ]
    return weeks[0], weeks[1:]


def gowalla(folder: Path) -> tuple[Contest, Sequence[Contest]]:
    """The published split; a tenth of each user's train items to choose by."""
    events = pq.read_table(folder / "gowalla" / "events.parquet")
    users, items, split = _rows(events["user_id"]), _rows(events["item_id"]), events["split"].to_numpy()
    train = split == "train"
    kept = _kept_apart(users[train], share=HELD_OUT)
    sizes = {"num_users": int(users.max()) + 1, "num_items": int(items.max()) + 1}
    train_users, train_items = users[train], items[train]
    return (
        _pairs(train_users[kept], train_items[kept], train_users[~kept], train_items[~kept], **sizes),
        [_pairs(train_users, train_items, users[~train], items[~train], **sizes)],
    )


def beauty(folder: Path) -> tuple[Contest, Sequence[Contest]]:
    """Leave-one-out: the last item of each user is the question, the one before it the question to choose by."""
    events = pq.read_table(folder / "amazon-beauty" / "events.parquet").sort_by(
        [("user_id", "ascending"), ("seq", "ascending")]
    )
    users, items, split = _rows(events["user_id"]), _rows(events["item_id"]), events["split"].to_numpy()
    at = events["seq"].to_numpy().astype(np.int64)
    sizes = {"num_users": int(users.max()) + 1, "num_items": int(items.max()) + 1}
    contests = []
    for question, known in (("valid", split == "train"), ("test", split != "test")):
        asked = split == question
        contests.append(_pairs(users[known], items[known], users[asked], items[asked], at=at[known], **sizes))
    return contests[0], contests[1:]


DATASETS = (
    Dataset(
        "Online Retail",
        "Five rolling weeks of a wholesaler; what customers seen before buy in the week, repeats count.",
        ("ndcg@10", "recall@100"),
        online_retail,
    ),
    Dataset(
        "Gowalla",
        "The published split without times; all items a user has not been to.",
        ("recall@20", "ndcg@20"),
        gowalla,
    ),
    Dataset(
        "Amazon Beauty",
        "Leave-one-out; all items a user has not had.",
        ("ndcg@10", "hit_rate@10"),
        beauty,
    ),
)


def _week(log: InteractionLog, num_items: int, cut: int) -> Contest:
    week = log.between(cut, cut + WEEK)
    known: Rows = np.intersect1d(week.user_rows, log.before(cut).user_rows)
    week = week.where(np.isin(week.user_rows, known))
    relevant = Relevant.of_pairs(
        np.searchsorted(known, week.user_rows).astype(np.int32), week.item_rows, num_users=len(known)
    )
    past = Past.at(cut, log, user_rows=known, recommendable=np.ones(num_items, np.bool_))
    return Contest(past, relevant, repeats=True)


def _pairs(
    users: Rows,
    items: Rows,
    asked_users: Rows,
    asked_items: Rows,
    *,
    num_users: int,
    num_items: int,
    at: Seconds | None = None,
) -> Contest:
    """A contest of bare pairs. Without times all events are equally old."""
    occurred_at = np.zeros(len(users), np.int64) if at is None else at
    order = np.argsort(occurred_at, kind="stable")
    log = InteractionLog(
        user_rows=users[order],
        item_rows=items[order],
        event_codes=np.full(len(users), EventType.PURCHASE.code, np.int8),
        occurred_at=occurred_at[order],
        known_at=occurred_at[order],
        quantity=np.ones(len(users), np.float32),
        amount=np.full(len(users), np.nan, np.float32),
        basket_rows=np.full(len(users), -1, np.int32),
    )
    everyone = np.arange(num_users, dtype=np.int32)
    past = Past.at(int(occurred_at.max()) + 1, log, user_rows=everyone, recommendable=np.ones(num_items, np.bool_))
    return Contest(past, Relevant.of_pairs(asked_users, asked_items, num_users=num_users), repeats=False)


def _kept_apart(users: Rows, *, share: float) -> np.ndarray:
    """A mask of a share of each user's rows, drawn once and for all."""
    draws = np.random.default_rng(0).random(len(users))
    order = np.lexsort((draws, users))
    starts = np.searchsorted(users[order], np.arange(users.max() + 1))
    counts = np.bincount(users)
    place = np.arange(len(users)) - starts[users[order]]
    mask = np.zeros(len(users), np.bool_)
    mask[order] = place < np.floor(counts[users[order]] * share)
    return mask


def _rows(column: pa.ChunkedArray) -> Rows:
    """Ids as positions among the distinct ids in ascending order."""
    _, rows = np.unique(column.to_numpy(zero_copy_only=False), return_inverse=True)
    return rows.astype(np.int32)
