"""Tables of neighbours on disk."""

from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import BundleError
from ml.runtime.neighbours import NeighbourTable


@pytest.fixture
def table() -> NeighbourTable:
    """Item 0 has two neighbours, item 1 none, item 2 one."""
    return NeighbourTable.of_pairs(np.array([0, 0, 2]), np.array([2, 1, 0]), np.array([0.5, 0.25, 1.0]), num_items=3)


def lists_of(table: NeighbourTable) -> list[list[tuple[int, float]]]:
    return [list(zip(*(part.tolist() for part in table.of(item)), strict=True)) for item in range(len(table))]


def test_a_saved_table_is_the_same_and_its_arrays_stay_in_their_files(table, tmp_path):
    table.save(tmp_path / "item_knn")
    again = NeighbourTable.load(tmp_path / "item_knn")
    assert lists_of(again) == lists_of(table) == [[(2, 0.5), (1, 0.25)], [], [(0, 1.0)]]
    assert not any(getattr(again, part).flags.owndata for part in ("starts", "rows", "weights"))


def test_tables_of_older_bundles_are_read(table, tmp_path):
    np.savez(tmp_path / "one.npz", starts=table.starts, rows=table.rows, weights=table.weights)
    padded = np.array([[2, 1], [-1, -1], [0, -1]], np.int32)
    np.savez(tmp_path / "older.npz", rows=padded, weights=np.array([[0.5, 0.25], [0, 0], [1, 0]], np.float32))
    for name in ("one", "older"):
        assert lists_of(NeighbourTable.load(tmp_path / name)) == lists_of(table)


@pytest.mark.parametrize(
    ("part", "values"), [("starts", [0, 2, 2, 9]), ("starts", [0, 2, 1, 3]), ("rows", [2, 3, 0]), ("weights", [1.0])]
)
def test_lists_that_point_elsewhere_are_refused(table, tmp_path: Path, part, values):
    table.save(tmp_path / "ease")
    np.save(tmp_path / "ease" / f"{part}.npy", np.array(values, getattr(table, part).dtype))
    with pytest.raises(BundleError, match="ease must hold lists of neighbours of its own 3 items"):
        NeighbourTable.load(tmp_path / "ease")
