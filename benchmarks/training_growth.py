"""Time of an epoch as a shop grows tenfold: seconds ~ examples ** exponent.

    python -m benchmarks.training_growth --examples 50000 500000

Users and items grow with the examples (25 and 100 examples each), so tables grow too: an optimizer that moves every row in every step would
show as an exponent towards 2. CPU-seconds of the second epoch; the first one compiles the step.
"""

import argparse
import time
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ml.contract.columns import DIM_ITEMS, DIM_USERS
from ml.contract.events import EventType
from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import Window
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.train import train_retriever

EXAMPLES_PER_USER, EXAMPLES_PER_ITEM, DAYS = 25, 100, 76
END = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[50_000, 500_000])
    arguments = parser.parse_args()
    settings = RetrieverSettings(model_type="retrieval", epochs=2)
    measured = []
    for size in arguments.examples:
        measured.append((size, _seconds(size, settings)))
        print(f"{size:9d} examples  {measured[-1][1]:7.1f} CPU-s an epoch", flush=True)
    for (small, before), (large, after) in pairwise(measured):
        print(f"{small} to {large}: exponent {np.log(after / before) / np.log(large / small):.3f}")


def _seconds(size: int, settings: RetrieverSettings) -> float:
    ended: list[float] = []
    train_retriever(_examples(size, settings), settings, on_epoch=lambda _: ended.append(time.process_time()))
    return ended[1] - ended[0]


def _examples(size: int, settings: RetrieverSettings) -> RetrievalExamples:
    """Of a shop of so many purchases, all of them examples."""
    rng = np.random.default_rng(0)
    num_users, num_items = size // EXAMPLES_PER_USER, size // EXAMPLES_PER_ITEM
    at = np.sort(rng.integers(END - DAYS * SECONDS_PER_DAY, END, size))
    log = InteractionLog(
        user_rows=rng.integers(0, num_users, size).astype(np.int32),
        item_rows=(num_items * rng.random(size) ** 3).astype(np.int32),  # a few items are most of the trade
        event_codes=np.full(size, EventType.PURCHASE.code, np.int8),
        occurred_at=at,
        known_at=at,
        quantity=np.ones(size, np.float32),
        amount=np.ones(size, np.float32),
        basket_rows=np.full(size, -1, np.int32),
    )
    users, items = _dimension("user_id", num_users, DIM_USERS), _dimension("item_id", num_items, DIM_ITEMS)
    encoder = TowerEncoder.fit(users=users, items=items, history_length=settings.history_length)
    window = Window(END - DAYS * SECONDS_PER_DAY, END)
    return RetrievalExamples.of(log, encoder=encoder, users=users, items=items, window=window)


def _dimension(key: str, count: int, schema: pa.Schema) -> pa.Table:
    """Ids in the order of the log's rows, nothing else known."""
    ids = pa.array([f"{row:09d}" for row in range(count)])
    return pa.table([ids if field.name == key else pa.nulls(count, field.type) for field in schema], schema=schema)


if __name__ == "__main__":
    main()
