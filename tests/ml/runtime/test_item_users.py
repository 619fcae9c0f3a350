"""Who is interested in each item."""

from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import BundleError
from ml.runtime.interest import Interest
from ml.runtime.item_users import ItemUsers

LISTS = {0: {0: 1.0, 1: 0.5}, 1: {0: 0.5, 2: 0.25}, 2: {}, 3: {1: 1.0, 2: 1.0}}
"""Of each item: users and their weights."""


@pytest.fixture
def table() -> ItemUsers:
    starts = np.cumsum([0, *map(len, LISTS.values())])
    users, weights = zip(*(pair for each in LISTS.values() for pair in each.items()), strict=True)
    return ItemUsers(starts, np.array(users, np.int32), np.array(weights, np.float32))


def scores(table: ItemUsers, liked: dict[int, float], *rows: int) -> list[float]:
    columns = np.full((len(rows), 3), 7, np.float32)
    interest = Interest(np.array(list(liked), np.int32), np.array(list(liked.values()), np.float32))
    table.scores_into(columns[:, 1], interest, np.array(rows, np.int32))
    assert (columns[:, [0, 2]] == 7).all()
    return columns[:, 1].tolist()


def test_an_item_scores_by_how_alike_those_are_who_want_it(table):
    """To one who likes items 0 and 1, user 0 is alike by 1 + .25, user 1 by .5, user 2 by .125."""
    expected = [
        1.25**1.5 + 0.5**1.5 * 0.5,
        1.25**1.5 * 0.5 + 0.125**1.5 * 0.25,
        0,
        0.5**1.5 + 0.125**1.5,
    ]
    assert scores(table, {0: 1.0, 1: 0.5}, 0, 1, 2, 3) == pytest.approx(expected, rel=1e-6)


def test_nothing_of_one_request_is_left_for_the_next(table):
    before = scores(table, {1: 1.0}, 3, 0)
    scores(table, {0: 1.0, 3: 1.0}, 0)
    assert scores(table, {1: 1.0}, 3, 0) == before
    assert scores(table, {}, 0, 3) == [0, 0]


def test_a_saved_table_is_the_same_and_its_arrays_stay_in_their_files(table, tmp_path):
    table.save(tmp_path / "interested")
    again = ItemUsers.load(tmp_path / "interested")
    assert scores(again, {0: 1.0}, 0, 1, 2, 3) == scores(table, {0: 1.0}, 0, 1, 2, 3)
    assert (len(again), again.num_users) == (4, 3)
    assert not any(getattr(again, part).flags.owndata for part in ("starts", "users", "weights"))


@pytest.mark.parametrize(
    ("part", "values"),
    [("starts", [0, 2, 4, 4, 9]), ("starts", [0, 4, 2, 4, 6]), ("users", [0, 1, 0, 2, 1, -1]), ("weights", [1.0])],
)
def test_lists_that_lie_elsewhere_are_refused(table, tmp_path: Path, part, values):
    table.save(tmp_path / "interested")
    np.save(tmp_path / "interested" / f"{part}.npy", np.array(values, getattr(table, part).dtype))
    with pytest.raises(BundleError, match="interested must hold who is interested in each of 4 items"):
        ItemUsers.load(tmp_path / "interested")
