"""Seconds from exported events to TensorFlow batches.

    python -m benchmarks.warehouse_to_tensorflow --rows 5000000

Claim: five million exported rows become shuffled batches of tensors in under three seconds. A dataset of single rows, `tf.data`'s
usual way, is measured beside it on fewer rows. Events are drawn at random in a DuckDB table and exported by the warehouse, as a
training run does it; that part is not counted. The second half goes on to what the towers take: examples with histories.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ml.contract.columns import DIM_ITEMS, DIM_USERS
from ml.dataset.event_shards import EventShards
from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import Window
from ml.dataset.stream import batches
from ml.dataset.streamed import StreamedExamples
from ml.features.log import InteractionLog
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.legacy_keras import tf
from orchestration.resources.exports import ExportArea
from orchestration.resources.warehouse_duckdb import DuckDBWarehouse

T = TypeVar("T")
NUM_USERS, NUM_ITEMS, DAYS = 300_000, 20_000, 90
BATCH_SIZE = 8_192
OPENED = 1_767_225_600
DRAWN = f"""
    create table events as
    with drawn as (
        select random() as who, random() * random() as what, floor(random() * 4) as code, random() as moment, random() * 100 as price
        from range(?)
    )
    select
        cast(floor(who * {NUM_USERS}) as integer) as user_row,
        cast(floor(what * {NUM_ITEMS}) as integer) as item_row,
        cast(code as tinyint) as event_code,
        make_timestamp(1000000 * ({OPENED} + cast(floor(moment * {DAYS * 86_400}) as bigint))) as occurred_at,
        occurred_at as known_at,
        cast(1 as double) as quantity,
        price,
        case when code = 0 then price end as amount,
        cast(floor(moment * 9) as integer) as basket_number
    from drawn
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rows-one-by-one", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tf.constant(0)  # TensorFlow starts when first asked for something
        exported = timed("exported by DuckDB", arguments.rows, lambda: export(Path(folder), arguments.rows))
        fast = rows_to_batches(exported, arguments.rows)
        slow = one_by_one(exported, arguments.rows_one_by_one)
        print(
            f"row by row takes {slow / fast:.0f} times as long per row: {slow * arguments.rows:.0f} s for all of them\n"
        )
        examples_to_batches(exported, Path(folder))


def export(folder: Path, rows: int) -> list[Path]:
    warehouse = DuckDBWarehouse(path=str(folder / "warehouse.duckdb"))
    warehouse.execute(DRAWN, [rows])
    area = ExportArea(uri=str(folder / "exports"), scratch_folder=str(folder / "scratch"))
    return area.fetch(warehouse, "select * from events", name="events")


def rows_to_batches(exported: list[Path], rows: int) -> float:
    """Exported files to shuffled batches of tensors, reading included; seconds per row."""
    started = time.perf_counter()
    columns = columns_of(exported)
    seen = consumed(
        [tf.convert_to_tensor(column[positions]) for column in columns]
        for positions in batches(rows, batch_size=BATCH_SIZE, seed=0, epoch=0)
    )
    return told("exported rows to shuffled batches", seen, time.perf_counter() - started)


def one_by_one(exported: list[Path], rows: int) -> float:
    """The same rows as a dataset of single rows, shuffled and batched by TensorFlow; seconds per row."""
    columns = tuple(column[:rows] for column in columns_of(exported))
    started = time.perf_counter()
    single = tf.data.Dataset.from_tensor_slices(columns).shuffle(rows, seed=0).batch(BATCH_SIZE, drop_remainder=True)
    return told("the same, row by row in tf.data", consumed(single), time.perf_counter() - started)


def examples_to_batches(exported: list[Path], folder: Path) -> None:
    """The path of a training run: shards, examples with the history of their user, batches from memory and from disk."""
    shards = timed("cut into shards, sorted, hashed", 0, lambda: EventShards.write(exported, folder / "shards"))
    rows = len(shards)
    log = timed("read as a log", rows, shards.log)
    examples = timed("examples with histories", rows, lambda: examples_of(log))
    streamed = timed(
        "examples of one shard after the other to disk",
        rows,
        lambda: StreamedExamples.write(map(examples_of, shards.logs()), folder / "examples"),
    )
    for name, source in (("memory", examples), ("disk", streamed)):
        tensors = (
            [tf.convert_to_tensor(array) for array in batch.rows().values()]
            for batch in source.batches(batch_size=BATCH_SIZE, seed=0, epoch=0)
        )
        started = time.perf_counter()
        told(f"an epoch of batches from {name}", consumed(tensors), time.perf_counter() - started)


def examples_of(log: InteractionLog) -> RetrievalExamples:
    users = pa.Table.from_pylist([{"user_id": f"u{row:06d}"} for row in range(NUM_USERS)], schema=DIM_USERS)
    items = pa.Table.from_pylist([{"item_id": f"i{row:05d}"} for row in range(NUM_ITEMS)], schema=DIM_ITEMS)
    encoder = TowerEncoder.fit(users=users, items=items, history_length=20)
    window = Window(OPENED, OPENED + DAYS * 86_400)
    return RetrievalExamples.of(log, encoder=encoder, users=users, items=items, window=window)


def columns_of(exported: list[Path]) -> list[np.ndarray]:
    """The numbers of the events, as the files hold them."""
    table = pa.concat_tables(map(pa.parquet.read_table, exported))
    return [column.to_numpy() for column in table.cast(numeric(table.schema)).itercolumns()]


def numeric(schema: pa.Schema) -> pa.Schema:
    """Instants as integers: TensorFlow has no other."""
    return pa.schema([(f.name, pa.int64() if pa.types.is_timestamp(f.type) else f.type) for f in schema])


def consumed(batches_of_tensors: Iterable[tuple]) -> int:
    return sum(int(batch[0].shape[0]) for batch in batches_of_tensors)


def timed(what: str, rows: int, work: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = work()
    told(what, rows or len(result), time.perf_counter() - started)
    return result


def told(what: str, rows: int, seconds: float) -> float:
    print(f"{what:48} {rows:>12,} rows {seconds:7.2f} s {rows / seconds:>14,.0f} rows/s", flush=True)
    return seconds / rows


if __name__ == "__main__":
    main()
