"""Crosses of attributes, hashed into the rows of a table."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ml.contract.columns import DIM_ITEMS, DIM_USERS
from ml.features.crosses import Cross, crossed, hash_of, hashes_of
from ml.features.tower_inputs import TowerEncoder
from ml.retrieval.settings import RetrieverSettings

ITEMS = pa.Table.from_pylist(
    [
        {"item_id": "a", "category": "x", "brand": "p", "price": 1.0},
        {"item_id": "b", "category": "x", "brand": "q", "price": 50.0},
        {"item_id": "c", "category": "y", "brand": "p", "price": 1.0},
        {"item_id": "d", "category": "x", "brand": "p", "price": None},
        {"item_id": "e", "category": "x", "brand": None, "price": 1.0},
    ],
    schema=DIM_ITEMS,
)
USERS = pa.Table.from_pylist(
    [{"user_id": "u", "country": "AT", "segment": "s"}, {"user_id": "v", "country": "AT", "segment": None}],
    schema=DIM_USERS,
)
CROSSES = (
    Cross(columns=("category", "brand"), buckets=10_000),
    Cross(columns=("country", "segment"), buckets=500),
    Cross(columns=("brand", "price"), buckets=10_000),
)
ENCODER = TowerEncoder.fit(users=USERS, items=ITEMS, history_length=3, crosses=CROSSES)
PLAIN = TowerEncoder.fit(users=USERS, items=ITEMS, history_length=3)


def test_the_same_values_have_the_same_row_others_another_and_an_unknown_one_row_0():
    category_brand, brand_price = ENCODER.candidates(ITEMS).ids[:, -2:].T
    a, b, c, d, e = category_brand
    assert a == d > 0
    assert len({a, b, c}) == 3
    assert e == 0
    assert brand_price[0] == brand_price[2] > 0  # equal brand and price, whatever the category
    assert brand_price[3] == brand_price[4] == 0
    assert ENCODER.user_ids(USERS)[:, -1].tolist() == [
        1 + ((hash_of("AT") % (2**31 - 1)) * 1_000_003 + hash_of("s")) % (2**31 - 1) % 500,
        0,
    ]


def test_crosses_come_after_what_was_there_and_change_none_of_it():
    np.testing.assert_array_equal(ENCODER.candidates(ITEMS).ids[:, :-2], PLAIN.candidates(ITEMS).ids)
    np.testing.assert_array_equal(ENCODER.user_ids(USERS)[:, :-1], PLAIN.user_ids(USERS))
    assert ENCODER.candidate_sizes == (*PLAIN.candidate_sizes, 10_001, 10_001)
    assert ENCODER.query_sizes == (*PLAIN.query_sizes, 501)


def test_a_value_training_never_saw_has_a_row_of_an_item_and_none_of_a_user():
    """An item's values are hashed as they are; a user's are looked up, as the exported graphs do it."""
    new = pa.Table.from_pylist([{"item_id": "z", "category": "new", "brand": "p"}], schema=DIM_ITEMS)
    assert ENCODER.candidates(new).ids[0, -2] > 0
    stranger = pa.Table.from_pylist([{"user_id": "w", "country": "FR", "segment": "s"}], schema=DIM_USERS)
    assert ENCODER.user_ids(stranger)[0, -1] == 0


def test_hashes_are_the_same_everywhere_and_fill_the_buckets():
    assert hash_of("Ärger") == 1_525_202_725  # a table learned on another machine is looked up by it
    texts = pa.chunked_array([[f"value {n}" for n in range(5_000)]])
    hashes, known = hashes_of(texts)
    rows = crossed([hashes, hashes[::-1]], known, buckets=50)
    counts = np.bincount(rows, minlength=51)
    assert counts[0] == 0
    assert counts[1:].min() > 60  # 100 each if even
    assert rows.max() == 50


def test_an_encoder_keeps_its_crosses(tmp_path: Path):
    ENCODER.save(tmp_path)
    loaded = TowerEncoder.load(tmp_path)
    assert loaded.fitted.crosses == CROSSES
    np.testing.assert_array_equal(loaded.candidates(ITEMS).ids, ENCODER.candidates(ITEMS).ids)
    np.testing.assert_array_equal(loaded.user_ids(USERS), ENCODER.user_ids(USERS))


@pytest.mark.parametrize(
    ("crosses", "message"),
    [
        ([{"columns": ["category", "colour"]}], r"A cross is of category, .* Received: colour\. Name columns"),
        ([{"columns": ["brand"]}], r"two or more different columns\. Received: brand\. A single attribute"),
        ([{"columns": []}], r"two or more different columns\. Received: none\."),
        ([{"columns": ["brand", "brand"]}], r"two or more different columns\. Received: brand, brand\."),
        ([{"columns": ["brand", "country"]}], r"lies in one tower: .* Received: brand, country\. The towers' product"),
        ([{"columns": ["price", "category"]}], r"not crossed yet\. Received: category, price"),
        ([{"columns": ["brand", "price"]}, {"columns": ["price", "brand"]}], r"Received: price, brand twice\. Leave"),
        ([{"columns": ["brand", "price"], "buckets": 1}], r"greater than or equal to 2"),
        ([{"columns": ["brand", "price"], "bucket": 9}], r"Extra inputs are not permitted"),
    ],
)
def test_a_cross_that_cannot_be_meant_is_refused(crosses: list[dict], message: str):
    with pytest.raises(ValidationError, match=message):
        RetrieverSettings(crosses=crosses)
