"""Items described alike, in words and by vectors."""

import numpy as np
import pyarrow as pa
import pytest

from ml.candidates.descriptions import nearest, spaces_of
from ml.candidates.fit import content
from ml.candidates.settings import SourceSettings
from ml.contract.columns import DIM_ITEM_EMBEDDINGS, DIM_ITEMS
from ml.contract.types import Floats
from ml.features.embeddings import with_embeddings
from ml.runtime.items import ItemTable

KINDS, EACH, LENGTH = 4, 10, 24
COLD = KINDS * EACH
"""An item of kind 1 that nobody has described in words."""


def catalogue(*, title: str | None = "thing", columns: tuple[str, ...] = ("text",)) -> ItemTable:
    """Items whose vectors say their kind, beside much that all have in common; the last one is new and has no words."""
    rng = np.random.default_rng(0)
    kinds = np.array([*np.arange(COLD) % KINDS, 1])
    rows = [{"item_id": f"{item:02d}", "title": title} for item in range(COLD)] + [{"item_id": "99"}]
    items = pa.Table.from_pylist(rows, schema=DIM_ITEMS)
    vectors = []
    for name in columns:
        centres = rng.normal(size=(KINDS, LENGTH)) + 4.0
        drawn = centres[kinds] + 0.2 * rng.normal(size=(len(kinds), LENGTH))
        vectors += [
            {"item_id": items["item_id"][row].as_py(), "name": name, "vector": drawn[row]} for row in range(len(rows))
        ]
    batch = pa.Table.from_pylist(vectors, schema=DIM_ITEM_EMBEDDINGS).to_batches()
    return ItemTable(with_embeddings(items, batch))


@pytest.mark.parametrize("columns", [("text",), ("image", "text")])
def test_an_item_without_words_or_events_finds_those_of_its_kind_by_its_vectors(columns: tuple[str, ...]):
    found = content(catalogue(columns=columns), settings=SourceSettings(content_neighbours=EACH))
    rows, likeness = found.of(COLD)
    assert {int(row) % KINDS for row in rows} == {1}
    assert len(rows) == EACH
    assert (np.diff(likeness) <= 0).all()
    # And it is found: by every item of its kind, and by no other.
    finders = {item for item in range(COLD) if COLD in found.of(item)[0]}
    assert finders == {item for item in range(COLD) if item % KINDS == 1}


def test_without_vectors_it_is_found_by_nobody():
    words = ItemTable(catalogue().table.drop_columns(["vector.text"]))
    assert len(content(words, settings=SourceSettings()).of(COLD)[0]) == 0


def test_likeness_is_the_mean_of_the_cosines_of_what_both_items_have():
    items = pa.Table.from_pylist(
        [
            {"item_id": "a", "title": "red cup"},
            {"item_id": "b", "title": "red cup"},
            {"item_id": "c", "title": "red cup"},
            {"item_id": "d", "title": "spade"},
        ],
        schema=DIM_ITEMS,
    )
    vectors = [("a", [1.0, 0.0]), ("b", [1.0, 0.0]), ("d", [0.0, 1.0])]
    rows = [{"item_id": item, "name": "text", "vector": vector} for item, vector in vectors]
    table = ItemTable(with_embeddings(items, pa.Table.from_pylist(rows, schema=DIM_ITEM_EMBEDDINGS).to_batches()))
    space = spaces_of(table.table)[0]
    found = content(table, settings=SourceSettings())
    of_a = dict(zip(*map(np.ndarray.tolist, found.of(0)), strict=True))
    assert of_a[1] == pytest.approx((1 + space[0] @ space[1]) / 2)
    assert of_a[2] == pytest.approx(1)  # c has no vector: of it words alone are asked
    assert 3 not in of_a  # no word in common, and its vector points away from theirs


def unit_vectors(count: int, kinds: int) -> Floats:
    rng = np.random.default_rng(5)
    drawn = rng.normal(size=(kinds, 16))[rng.integers(0, kinds, count)] + 0.3 * rng.normal(size=(count, 16))
    found: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    found[::7] = 0
    return found


def pairs(space: Floats, **options: int) -> set[tuple[int, int]]:
    return {
        pair
        for items, others in nearest(space, 10, **options)
        for pair in zip(items.tolist(), others.tolist(), strict=True)
    }


def test_the_nearest_are_those_of_the_largest_cosines_and_no_item_is_its_own():
    space = unit_vectors(300, kinds=20)
    cosines = space @ space.T
    np.fill_diagonal(cosines, -1)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    expected = {(item, int(other)) for item in range(300) for other in best[item] if cosines[item, other] > 0}
    assert pairs(space) == expected


def test_of_a_large_catalogue_the_nearest_parts_hold_nearly_all_that_is_near():
    space = unit_vectors(3_000, kinds=60)
    exact, by_parts = pairs(space), pairs(space, exact_items=1_000)
    assert len(exact & by_parts) > 0.95 * len(exact)
    assert by_parts == pairs(space, exact_items=1_000)
