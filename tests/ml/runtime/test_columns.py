"""What is read out of Arrow's memory is what Arrow says."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.runtime.columns import Column, Numbers, Texts, column_of
from tests.ml.runtime.shops import EFFORT

KINDS = {pa.string(): Texts, pa.float64(): Numbers, pa.int64(): Column, pa.large_string(): Column, pa.null(): Column}
VALUES = {
    pa.string(): st.text(max_size=5),
    pa.large_string(): st.text(max_size=5),
    pa.float64(): st.floats(allow_nan=False),
    pa.int64(): st.integers(-9, 9),
    pa.null(): st.none(),
}


@EFFORT
@given(st.data(), st.sampled_from(list(KINDS)), st.integers(0, 5), st.integers(0, 20))
def test_every_value_is_the_one_that_arrow_gives(data, kind, start, size):
    """Of slices too, which begin anywhere in a byte of their validity."""
    whole = pa.array(data.draw(st.lists(st.none() | VALUES[kind], max_size=20)), kind)
    column = whole.slice(start, size)
    ours = column_of(column)
    assert [ours[row] for row in range(len(column))] == column.to_pylist()
    if len(column):
        assert type(ours) is KINDS[kind]


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there_is_refused(row):
    with pytest.raises(IndexError, match=rf"from 0 to 1\. Received: {row}"):
        column_of(pa.array(["a", "b"]))[row]
