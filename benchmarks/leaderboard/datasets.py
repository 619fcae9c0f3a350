"""Public data as contests: for each set one to choose by, and those that count. No contest that counts is ever chosen by."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
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
CHOOSE_BY_USERS = 5_000
"""Users that choices are made by, evenly taken: a choice needs no more, and every trial of every system costs less."""


@dataclass(frozen=True)
class Dataset:
    """A set, and the figures it is known by."""

    name: str
    """Of its files too."""
    title: str
    rules: str
    """What is asked, in a sentence."""
    metrics: tuple[str, str]
    """The one that choices are made by, and one more."""
    read: Callable[[Path], tuple[Contest, Sequence[Contest]]]
    """The contest to choose by, and those that count, from the folder of all sets."""
    without: tuple[str, ...] = ()
    """Peers that are not asked."""
    published: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The same two metrics as others have printed them for this very split."""


def online_retail(folder: Path, *, repeats: bool = True) -> tuple[Contest, Sequence[Contest]]:
    """Rolling weeks; choices are made by the week before the first that counts.

    Without repeats it is the view "new to the user": no list holds what its user bought before, and only what is new to them counts.
    """
    log, num_items = read(folder / "online_retail" / "online_retail.csv.gz")
    cuts = [int(END.timestamp()) - WEEK * (TEST_WEEKS + 1 - week) for week in range(TEST_WEEKS + 1)]
    weeks = [_week(log, num_items, cut, repeats=repeats) for cut in cuts]
    return weeks[0], weeks[1:]


def gowalla(folder: Path) -> tuple[Contest, Sequence[Contest]]:
    """The published split; a tenth of each user's train items to choose by."""
    events = pq.read_table(folder / "gowalla" / "events.parquet")
    users, items, split = _rows(events["user_id"]), _rows(events["item_id"]), events["split"].to_numpy()
    train = split == "train"
    num_users, num_items = int(users.max()) + 1, int(items.max()) + 1
    train_users, train_items = users[train], items[train]
    held_out = some_of_each_user(train_users, share=HELD_OUT)
    by = past_of_pairs(train_users[~held_out], train_items[~held_out], num_users=num_users, num_items=num_items)
    judged = past_of_pairs(train_users, train_items, num_users=num_users, num_items=num_items)
    return (
        contest_of(by, train_users[held_out], train_items[held_out], at_most=CHOOSE_BY_USERS),
        [contest_of(judged, users[~train], items[~train])],
    )


def beauty(folder: Path) -> tuple[Contest, Sequence[Contest]]:
    """Leave-one-out: the last item of each user is the question, the one before it the question to choose by."""
    events = pq.read_table(folder / "amazon-beauty" / "events.parquet").sort_by(
        [("user_id", "ascending"), ("seq", "ascending")]
    )
    users, items, split = _rows(events["user_id"]), _rows(events["item_id"]), events["split"].to_numpy()
    seq = events["seq"].to_numpy().astype(np.int64)
    num_users, num_items = int(users.max()) + 1, int(items.max()) + 1
    of_items = pq.read_table(folder / "amazon-beauty" / "items.parquet").sort_by("item_id")
    attributes = _by_breadth(of_items["attributes"].to_pylist())

    def contest(known: np.ndarray, question: str, at_most: int | None = None) -> Contest:
        asked = split == question
        log = past_of_pairs(users[known], items[known], num_users=num_users, num_items=num_items, at=seq[known])
        return replace(contest_of(log, users[asked], items[asked], at_most=at_most), attributes=attributes)

    return contest(split == "train", "valid", CHOOSE_BY_USERS), [contest(split != "test", "test")]


OWN_ITEMS = ("own history", "EASE and own items")
"""Peers that show a user what they have already."""

DATASETS = (
    Dataset(
        "online_retail",
        "Online Retail, all purchases",
        "Five rolling weeks of a wholesaler, nothing chosen by any of them: what customers seen before buy in the week. "
        "Whole catalogue, repeat purchases count.",
        ("ndcg@10", "recall@100"),
        online_retail,
    ),
    Dataset(
        "online_retail_new",
        "Online Retail, new to the user",
        "The same weeks: what they buy for the first time. No list holds what its user bought before.",
        ("ndcg@10", "recall@100"),
        partial(online_retail, repeats=False),
        without=OWN_ITEMS,
    ),
    Dataset(
        "gowalla",
        "Gowalla",
        "The published split, which has no times: all places a user has not been to.",
        ("recall@20", "ndcg@20"),
        gowalla,
        without=(*OWN_ITEMS, "EASE"),  # a dense inverse over 40 981 items takes 13 GB and an hour
        published={
            "SimpleX (Mao et al. 2021)": (0.1872, 0.1557),
            "LightGCN (He et al. 2020)": (0.1830, 0.1554),
            "EASE (as reported by Mao et al. 2021)": (0.1765, 0.1467),
            "YoutubeDNN two-tower (as reported by Mao et al. 2021)": (0.1754, 0.1473),
        },
    ),
    Dataset(
        "beauty",
        "Amazon Beauty",
        "Leave-one-out, which has an order and no times: all items a user has not had.",
        ("ndcg@10", "hit_rate@10"),
        beauty,
        without=OWN_ITEMS,
    ),
)


def _by_breadth(words: Sequence[Sequence[str]]) -> dict[str, list[str | None]]:
    """Of items whose attributes are bare words of no stated kind: the word most items bear is the category, the next one the
    sub-category, the rarest of more than two the brand."""
    bearers = Counter(word for of_item in words for word in of_item)
    ordered = [sorted(of_item, key=lambda word: (-bearers[word], word)) for of_item in words]
    return {
        "category": [own[0] if own else None for own in ordered],
        "sub_category": [own[1] if len(own) > 1 else None for own in ordered],
        "brand": [own[-1] if len(own) > 2 else None for own in ordered],
    }


def _week(log: InteractionLog, num_items: int, cut: int, *, repeats: bool) -> Contest:
    known: Rows = np.unique(log.before(cut).user_rows)
    week = log.between(cut, cut + WEEK)
    week = week.where(np.isin(week.user_rows, known))
    past = Past.at(cut, log, user_rows=known, recommendable=np.ones(num_items, np.bool_))
    if not repeats:
        week = week.where(~np.isin(_keys(week, num_items), _keys(past.log, num_items)))
    asked = np.unique(week.user_rows).astype(np.int32)
    relevant = Relevant.of_pairs(
        np.searchsorted(asked, week.user_rows).astype(np.int32), week.item_rows, num_users=len(asked)
    )
    return Contest(replace(past, user_rows=asked), relevant, repeats=repeats)


def _keys(log: InteractionLog, num_items: int) -> np.ndarray:
    return log.user_rows.astype(np.int64) * num_items + log.item_rows


def past_of_pairs(users: Rows, items: Rows, *, num_users: int, num_items: int, at: Seconds | None = None) -> Past:
    """What is known of all users, from bare pairs. Without times all events are equally old."""
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
    return Past.at(int(occurred_at.max()) + 1, log, user_rows=everyone, recommendable=np.ones(num_items, np.bool_))


def contest_of(past: Past, users: Rows, items: Rows, *, at_most: int | None = None) -> Contest:
    """Whoever has something to find, at most so many of them, evenly taken."""
    asked = np.unique(users)
    if at_most is not None and len(asked) > at_most:
        asked = asked[np.linspace(0, len(asked) - 1, at_most).astype(np.int64)]
    theirs = np.isin(users, asked)
    owners = np.searchsorted(asked, users[theirs]).astype(np.int32)
    relevant = Relevant.of_pairs(owners, items[theirs], num_users=len(asked))
    return Contest(replace(past, user_rows=asked.astype(np.int32)), relevant, repeats=False, has_times=False)


def some_of_each_user(users: Rows, *, share: float) -> np.ndarray:
    """A mask of a share of each user's rows, drawn once and for all."""
    draws = np.random.default_rng(0).random(len(users))
    order = np.lexsort((draws, users))
    place = np.arange(len(users)) - np.searchsorted(users[order], users[order])
    mask = np.zeros(len(users), np.bool_)
    mask[order] = place < np.floor(np.bincount(users)[users[order]] * share)
    return mask


def _rows(column: pa.ChunkedArray) -> Rows:
    """Ids as positions among the distinct ids in ascending order."""
    _, rows = np.unique(column.to_numpy(zero_copy_only=False), return_inverse=True)
    return rows.astype(np.int32)
