"""Baselines on the UCI Online Retail file, five rolling test weeks: what any model of ours has to beat.

    python -m benchmarks.online_retail_baselines online_retail.csv.gz

Train: everything before the week. Test: what customers seen before bought in it. Full catalogue of the items sold before, repeat
purchases count. Products only (StockCode: five digits, letters allowed after), positive quantity, customer known.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ml.contract.types import Rows
from ml.evaluation.baselines import Past, standard_baselines
from ml.evaluation.intervals import mean_interval
from ml.evaluation.ranking_metrics import Hits, PerUser, Relevant, ndcg_at_k, recall_at_k
from ml.features.log import InteractionLog
from ml.features.vocabulary import Vocabulary

WEEK = timedelta(days=7)
END = datetime(2011, 9, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--weeks", type=int, default=5)
    arguments = parser.parse_args()
    log, num_items = read(arguments.file)
    weeks = [judged_week(log, num_items, int((END - WEEK * (back + 1)).timestamp())) for back in range(arguments.weeks)]
    print(f"{len(weeks)} weeks, {sum(len(next(iter(week.values()))[0]) for week in weeks)} user-weeks")
    for system in weeks[0]:
        ndcg, recall = (mean_interval(np.concatenate([week[system][column] for week in weeks])) for column in (0, 1))
        print(
            f"{system:13} NDCG@10 {ndcg.mean:.3f} [{ndcg.low:.3f}, {ndcg.high:.3f}]"
            f"   recall@100 {recall.mean:.3f} [{recall.low:.3f}, {recall.high:.3f}]"
        )


def read(path: Path) -> tuple[InteractionLog, int]:
    """Purchases of products by known customers, and how many products there are."""
    as_text = csv.ConvertOptions(column_types={name: pa.string() for name in ("InvoiceNo", "StockCode", "CustomerID")})
    lines = csv.read_csv(path, convert_options=as_text)
    lines = lines.filter(
        pc.and_(
            pc.and_(
                pc.match_substring_regex(lines["StockCode"], r"^\d{5}[A-Za-z]*$"), pc.greater(lines["Quantity"], 0)
            ),
            pc.not_equal(pc.fill_null(lines["CustomerID"], ""), ""),
        )
    )
    items = pc.utf8_upper(lines["StockCode"])
    bought_at = lines["InvoiceDate"].cast(pa.timestamp("us"))
    events = pa.table(
        {
            "user_id": lines["CustomerID"],
            "item_id": items,
            "event_type": pa.repeat("purchase", len(lines)),
            "occurred_at": bought_at,
            "known_at": bought_at,
            "quantity": lines["Quantity"].cast(pa.float64()),
            "amount": pc.multiply(lines["Quantity"], lines["UnitPrice"]),
            "basket_id": lines["InvoiceNo"],
        }
    )
    catalogue = Vocabulary.fit(items.to_pylist())
    users = Vocabulary.fit(lines["CustomerID"].to_pylist())
    return InteractionLog.from_table(events, users=users, items=catalogue), len(catalogue)


def judged_week(log: InteractionLog, num_items: int, cut: int) -> dict[str, tuple[PerUser, PerUser]]:
    """NDCG@10 and recall@100 of each user of one week, by system."""
    week = log.between(cut, cut + int(WEEK.total_seconds()))
    known_users: Rows = np.intersect1d(week.user_rows, log.before(cut).user_rows)
    week = week.where(np.isin(week.user_rows, known_users))
    place = np.searchsorted(known_users, week.user_rows).astype(np.int32)
    relevant = Relevant.of_pairs(place, week.item_rows, num_users=len(known_users))
    past = Past.at(cut, log, user_rows=known_users, recommendable=np.ones(num_items, np.bool_))
    hits = {name: Hits.of(lists, relevant) for name, lists in standard_baselines(past, k=100).items()}
    return {name: (ndcg_at_k(found, k=10), recall_at_k(found, k=100)) for name, found in hits.items()}


if __name__ == "__main__":
    main()
