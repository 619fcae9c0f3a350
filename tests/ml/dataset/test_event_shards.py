"""Events as numbers in shards: nothing lost, nothing altered, one user in one shard."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.contract.columns import ENCODED_EVENTS
from ml.contract.errors import DataError
from ml.dataset.event_shards import EventShards
from ml.features.log import InteractionLog
from tests import world

NUM_EVENTS = 5_000


def events(seed: int = 0, rows: int = NUM_EVENTS) -> pa.Table:
    """In no order, with nulls, instants that occur often and a user without baskets."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 100, rows) * 1_000_000
    users = rng.integers(0, 50, rows)
    amount = rng.random(rows)
    return pa.table(
        {
            "user_row": users,
            "item_row": rng.integers(0, 9, rows),
            "event_code": rng.integers(0, 4, rows),
            "occurred_at": at,
            "known_at": at + rng.integers(0, 3, rows) * 1_000_000,
            "quantity": pa.array(rng.integers(1, 4, rows).astype(float), mask=rng.random(rows) < 0.5),
            "price": rng.random(rows),
            "amount": pa.array(amount, mask=amount < 0.5),
            "basket_number": np.where(users == 7, -1, rng.integers(0, 5, rows)),
        }
    ).cast(ENCODED_EVENTS)


def exported(folder: Path, table: pa.Table, *, files: int = 3) -> list[Path]:
    """As BigQuery writes it: several files, integers of 64 bits, instants with a zone."""
    wide = {pa.int32(): pa.int64(), pa.int8(): pa.int64(), pa.timestamp("us"): pa.timestamp("us", "UTC")}
    schema = pa.schema([(field.name, wide.get(field.type, field.type)) for field in ENCODED_EVENTS])
    size = -(-len(table) // files)
    paths = [folder / f"export-{number}.parquet" for number in range(files)]
    for number, path in enumerate(paths):
        pq.write_table(table.slice(number * size, size).cast(schema), path)
    return paths


def rows_of(table: pa.Table) -> list[str]:
    return sorted(map(str, table.to_pylist()))


def same(one: InteractionLog, other: InteractionLog) -> bool:
    return all(np.array_equal(a, vars(other)[name], equal_nan=a.dtype.kind == "f") for name, a in vars(one).items())


@pytest.fixture
def shards(tmp_path: Path) -> EventShards:
    return EventShards.write(exported(tmp_path, events()), tmp_path / "shards", rows_per_shard=NUM_EVENTS // 4)


def test_shards_hold_what_was_exported_and_nothing_else(shards: EventShards):
    tables = list(shards.tables())
    assert len(tables) == 4
    assert len(shards) == NUM_EVENTS
    assert all(table.schema == ENCODED_EVENTS for table in tables)
    assert rows_of(pa.concat_tables(tables)) == rows_of(events())


def test_all_events_of_a_user_are_in_one_shard(shards: EventShards):
    users = [set(table["user_row"].to_pylist()) for table in shards.tables()]
    assert sum(map(len, users)) == len(set.union(*users))
    assert min(map(len, users)) > 5


def test_the_order_and_the_number_of_exported_files_do_not_show(shards: EventShards, tmp_path: Path):
    turned = events().take(np.random.default_rng(1).permutation(NUM_EVENTS))
    again = EventShards.write(exported(tmp_path, turned, files=1), tmp_path / "b", rows_per_shard=NUM_EVENTS // 4)
    assert again.digest() == shards.digest()


def test_any_other_value_is_another_digest(shards: EventShards, tmp_path: Path):
    other = events().set_column(5, ENCODED_EVENTS.field("quantity"), events()["quantity"].fill_null(0.0))
    again = EventShards.write(exported(tmp_path, other), tmp_path / "b", rows_per_shard=NUM_EVENTS // 4)
    assert again.digest() != shards.digest()


def test_the_log_of_all_shards_is_the_log_of_one(shards: EventShards):
    whole = EventShards.of(events())
    assert same(shards.log(), whole.log())
    assert (np.diff(whole.log().occurred_at) >= 0).all()


def test_what_the_shop_did_not_say_is_one_piece_no_money_and_no_basket(shards: EventShards):
    log = shards.log()
    unsaid = events()["quantity"].null_count
    assert np.count_nonzero(log.quantity == 1.0) > unsaid > 0
    assert np.isnan(log.amount).sum() == events()["amount"].null_count
    assert (log.basket_rows[log.user_rows == 7] == -1).all()
    assert (log.basket_rows[log.user_rows != 7] >= 0).all()


def test_baskets_of_different_users_are_different(shards: EventShards):
    log = shards.log()
    pairs = np.unique(np.stack([log.basket_rows, log.user_rows], axis=1)[log.basket_rows >= 0], axis=0)
    assert len(pairs) == len(np.unique(pairs[:, 0])) == 49 * 5


def test_an_earlier_cut_leaves_out_what_happened_or_arrived_later(shards: EventShards):
    known = shards.known_before(datetime.fromtimestamp(50, UTC))
    log = known.log()
    assert 0 < len(known) < NUM_EVENTS
    assert same(log, shards.log().before(50)) or log.known_at.max() < 50
    assert max(log.occurred_at.max(), log.known_at.max()) == 49
    assert shards.first_at() == datetime.fromtimestamp(0, UTC)


def test_saved_shards_are_the_same_shards(shards: EventShards, tmp_path: Path):
    shards.save(tmp_path / "saved")
    assert EventShards.open(tmp_path / "saved").digest() == shards.digest()


def test_row_groups_are_small_enough_to_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ml.dataset.event_shards.ROWS_PER_GROUP", 1_000)
    EventShards.write(exported(tmp_path, events()), tmp_path / "shards")
    metadata = pq.read_metadata(tmp_path / "shards" / "events-00000.parquet")
    assert metadata.num_row_groups == NUM_EVENTS // 1_000
    assert metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.usefixtures("shards")
def test_an_unfinished_folder_is_refused(tmp_path: Path):
    (tmp_path / "shards" / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"Expected manifest\.json"):
        EventShards.open(tmp_path / "shards")


@pytest.mark.parametrize("harm", ["altered", "missing"])
@pytest.mark.usefixtures("shards")
def test_a_shard_that_is_not_the_one_written_is_refused(tmp_path: Path, harm: str):
    path = tmp_path / "shards" / "events-00002.parquet"
    path.unlink() if harm == "missing" else path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=r"events-00002\.parquet must have the sha256"):
        EventShards.open(tmp_path / "shards")


def test_a_shop_without_events_is_told_so():
    with pytest.raises(DataError, match="Land more days first"):
        EventShards.of(events(rows=0)).first_at()


def test_encoded_events_have_their_names_back():
    data = world.training_data()
    week = data.interactions(world.CUT - timedelta(days=7), world.CUT)
    told = [row["user_id"] + row["item_id"] + row["event_type"] for row in week.to_pylist()]
    log = data.log.between(int(world.CUT.timestamp()) - 7 * 86_400, int(world.CUT.timestamp()))
    kinds = ("purchase", "view")
    expected = [
        world.user_id(user) + world.item_id(item) + kinds[int(np.isnan(amount))]
        for user, item, amount in zip(log.user_rows, log.item_rows, log.amount, strict=True)
    ]
    assert sorted(told) == sorted(expected)
    assert week["occurred_at"].to_pylist() == sorted(week["occurred_at"].to_pylist())
