"""One encoder for training and requests: the vectorised form must say what the single one says."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from ml.features.history import Histories, History
from ml.features.log import InteractionLog
from ml.features.tower_inputs import QueryInputs, TowerEncoder
from ml.features.vocabulary import Vocabulary

NUM_USERS, NUM_ITEMS, NUM_EVENTS = 20, 30, 500


@pytest.fixture(scope="module")
def users() -> pa.Table:
    ids = [f"u{i:02d}" for i in range(NUM_USERS)]
    return pa.table({"user_id": ids, "country": ["AT", "CZ"] * 10, "segment": pa.nulls(NUM_USERS, pa.string())})


@pytest.fixture(scope="module")
def items() -> pa.Table:
    rng = np.random.default_rng(1)
    return pa.table(
        {
            "item_id": [f"i{i:02d}" for i in range(NUM_ITEMS)],
            "category": ["x", "y", None] * 10,
            "sub_category": pa.nulls(NUM_ITEMS, pa.string()),
            "brand": ["b"] * NUM_ITEMS,
            "price": pa.array(
                np.where(np.arange(NUM_ITEMS) % 7, rng.lognormal(2, 1, NUM_ITEMS), np.nan), from_pandas=True
            ),
        }
    )


@pytest.fixture(scope="module")
def log(users, items) -> InteractionLog:
    rng = np.random.default_rng(0)
    at = pa.array(rng.integers(10**9, 10**9 + 10**7, NUM_EVENTS) * 10**6, pa.timestamp("us"))
    table = pa.table(
        {
            "user_id": [f"u{i:02d}" for i in rng.integers(0, NUM_USERS, NUM_EVENTS)],
            "item_id": [f"i{i:02d}" for i in rng.integers(0, NUM_ITEMS, NUM_EVENTS)],
            "event_type": ["view"] * NUM_EVENTS,
            "occurred_at": at,
            "known_at": at,
            "quantity": pa.nulls(NUM_EVENTS, pa.float64()),
            "amount": pa.nulls(NUM_EVENTS, pa.float64()),
            "basket_id": pa.nulls(NUM_EVENTS, pa.string()),
        }
    )
    ids = (Vocabulary.of(users["user_id"].to_pylist()), Vocabulary.of(items["item_id"].to_pylist()))
    return InteractionLog.from_table(table, users=ids[0], items=ids[1])


@pytest.fixture(scope="module")
def encoder(users, items) -> TowerEncoder:
    return TowerEncoder.fit(users=users, items=items, history_length=5)


def test_many_moments_at_once_are_encoded_as_one_by_one(encoder, users, items, log):
    rng = np.random.default_rng(2)
    histories, user_ids = Histories.of(log, num_users=NUM_USERS), encoder.user_ids(users)
    indexes = encoder.item_indexes(items["item_id"])
    at = np.concatenate(
        [rng.integers(10**9, 10**9 + 10**7, 50), log.occurred_at[:20]]
    )  # some at the instant of an event
    rows = rng.integers(0, NUM_USERS, len(at)).astype(np.int32)
    together = encoder.queries(user_ids, histories, rows, at, item_indexes=indexes)
    for i in range(len(at)):
        mine = histories.of_user(rows[i])
        before = mine.occurred_at < at[i]
        past = History(*(getattr(mine, field.name)[before] for field in fields(History)))
        alone = encoder.query(user_ids[rows[i]], past, item_indexes=indexes, at=int(at[i]))
        for field in fields(QueryInputs):
            np.testing.assert_array_equal(getattr(alone, field.name)[0], getattr(together, field.name)[i], field.name)


def test_an_event_at_the_very_instant_is_not_yet_history(encoder, users, log):
    histories = Histories.of(log, num_users=NUM_USERS)
    first = histories.starts[:-1]
    at = histories.occurred_at[first]
    queries = encoder.queries(
        encoder.user_ids(users),
        histories,
        np.arange(NUM_USERS, dtype=np.int32),
        at,
        item_indexes=np.ones(NUM_ITEMS, np.int32),
    )
    assert not queries.history_items.any()


def test_what_training_never_saw_is_index_zero(encoder, items):
    stranger = (
        items.slice(0, 1).set_column(0, "item_id", pa.array(["new"])).set_column(1, "category", pa.array(["new"]))
    )
    assert encoder.candidates(stranger).ids[0, :2].tolist() == [0, 0]


def test_every_index_fits_its_embedding_table(encoder, items, users):
    assert (encoder.candidates(items).ids.max(axis=0) < encoder.candidate_sizes).all()
    assert (encoder.user_ids(users).max(axis=0) < encoder.query_sizes).all()


def test_an_encoder_answers_the_same_after_it_was_saved(encoder, items, users, tmp_path):
    encoder.save(tmp_path)
    again = TowerEncoder.load(tmp_path)
    np.testing.assert_array_equal(again.candidates(items).ids, encoder.candidates(items).ids)
    np.testing.assert_array_equal(again.candidates(items).numbers, encoder.candidates(items).numbers)
    np.testing.assert_array_equal(again.user_ids(users), encoder.user_ids(users))


def test_keeping_the_newest_events_drops_only_older_ones(log):
    kept, whole = Histories.of(log, num_users=NUM_USERS, last=3), Histories.of(log, num_users=NUM_USERS)
    for user in range(NUM_USERS):
        np.testing.assert_array_equal(kept.of_user(user).occurred_at, whole.of_user(user).occurred_at[-3:])
