"""What hiding some users' ids while the towers learn is worth to strangers: NDCG@10 of the towers alone, with and without it.

    python -m benchmarks.feature_dropout <folder of data> --shares 0 0.5

Online Retail, the week the leaderboard chooses by. Each customer is asked for as who they are, and as a stranger who did the same last
things: same history, unknown id. Bootstrap over customers, paired against the first share.
"""

import argparse
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.leaderboard.contest import Contest
from benchmarks.leaderboard.datasets import online_retail
from benchmarks.leaderboard.snapshot import training_data
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.intervals import Interval, mean_interval, paired_interval
from ml.evaluation.ranking_metrics import Hits, PerUser, ndcg_at_k
from ml.features.history import Histories
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.stages import examples_of
from ml.retrieval.train import train_retriever
from ml.retrieval.trained import TrainedRetriever

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5])
    arguments = parser.parse_args()
    contest, _ = online_retail(arguments.data)
    first: dict[bool, PerUser] = {}
    for share in arguments.shares:
        asked = Asked.of(contest, RetrieverSettings(user_id_dropout=share))
        for name, stranger in (("known", False), ("as strangers", True)):
            values = asked.ndcg(stranger=stranger)
            against = paired_interval(values, first.setdefault(stranger, values)).ratio
            print(
                f"user_id_dropout {share:.2f}, {name:12} NDCG@{K} {_said(mean_interval(values))}, "
                f"ratio to the first {_said(against)}",
                flush=True,
            )


@dataclass(frozen=True)
class Asked:
    """Trained towers and the contest they are asked about."""

    contest: Contest
    data: TrainingData
    towers: TrainedRetriever

    @classmethod
    def of(cls, contest: Contest, settings: RetrieverSettings) -> "Asked":
        cut = datetime.fromtimestamp(contest.past.cut, UTC)
        split = TimeSplit.at(cut + timedelta(days=7))
        data = training_data(contest, cuts=[cut], oldest_day=90, recent_days=35)
        return cls(contest, data, train_retriever(examples_of(data, split.train, settings), settings))

    def ndcg(self, *, stranger: bool) -> PerUser:
        encoder, items, users = self.towers.encoder, self.data.items_by_row, self.contest.past.user_rows
        queries = encoder.queries(
            encoder.user_ids(self.data.users_by_row),
            Histories.of(self.data.log, num_users=self.data.users.num_rows),
            users,
            np.full(len(users), self.contest.past.cut, np.int64),
            item_indexes=encoder.item_indexes(items["item_id"]),
        )
        if stranger:
            queries = replace(queries, ids=np.zeros_like(queries.ids))
        vectors = self.towers.query_vectors(queries)
        place = np.full(self.contest.past.num_log_users, -1, np.int64)
        place[users] = np.arange(len(users))
        scored = self.towers.item_vectors(items)
        lists = self.contest.lists_of(lambda rows: vectors[place[rows]] @ scored.T)
        return ndcg_at_k(Hits.of(lists, self.contest.relevant), k=K)


def _said(interval: Interval) -> str:
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


if __name__ == "__main__":
    main()
