"""Examples: one per encounter of a user with an item, each with its own past and nothing else."""

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest

from ml.contract.columns import DIM_ITEMS, DIM_USERS, FCT_INTERACTIONS
from ml.contract.errors import DataError, LeakageError, RecipeError
from ml.dataset.examples import RetrievalExamples, require_examples
from ml.dataset.split import Window
from ml.features.log import InteractionLog
from ml.features.tower_inputs import TowerEncoder
from ml.features.vocabulary import Vocabulary

DAY = 86_400
USERS = pa.Table.from_pylist([{"user_id": name} for name in ("ann", "bob")], schema=DIM_USERS)
ITEMS = pa.Table.from_pylist([{"item_id": name, "price": 2.0} for name in ("hat", "mug", "pen")], schema=DIM_ITEMS)
WINDOW = Window(10 * DAY, 20 * DAY)


def event(
    user: str, item: str, kind: str, day: float, *, known: float | None = None, amount: float | None = None
) -> dict:
    at = {"occurred_at": int(day * DAY * 1e6), "known_at": int((day if known is None else known) * DAY * 1e6)}
    return {"user_id": user, "item_id": item, "event_type": kind, "amount": amount, "quantity": 3.0, **at}


PAST = [
    event("ann", "hat", "view", 5),
    event("ann", "mug", "cart_add", 11),
    event("ann", "mug", "purchase", 12, amount=6.0),
    event("bob", "pen", "cart_remove", 13),
    event("bob", "pen", "return", 14),
    event("bob", "hat", "view", 15),
]


def log_of(events: list[dict]) -> InteractionLog:
    table = pa.Table.from_pylist(events, schema=FCT_INTERACTIONS)
    users, items = USERS["user_id"].to_pylist(), ITEMS["item_id"].to_pylist()
    return InteractionLog.from_table(table, users=Vocabulary.of(users), items=Vocabulary.of(items))


def examples_of(events: list[dict], *, target_column: str = "amount") -> RetrievalExamples:
    encoder = TowerEncoder.fit(users=USERS, items=ITEMS, history_length=4)
    return RetrievalExamples.of(
        log_of(events), encoder=encoder, users=USERS, items=ITEMS, window=WINDOW, target_column=target_column
    )


def same(one: RetrievalExamples, other: RetrievalExamples) -> bool:
    pairs = zip(sorted(one.arrays().items()), sorted(other.arrays().items()), strict=True)
    return all(a == b and np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for (a, x), (b, y) in pairs)


def test_each_encounter_of_the_window_is_one_example():
    examples = examples_of(PAST)

    assert examples.user_rows.tolist() == [0, 0, 1]
    assert examples.item_rows.tolist() == [1, 1, 0]
    assert examples.weight.tolist() == [3.0, 5.0, 1.0]
    assert examples.is_purchase.tolist() == [False, True, False]


HOUR = 1 / 24
SITTING = [
    event("ann", "pen", "view", 15),
    event("bob", "pen", "view", 15 + HOUR),
    event("ann", "hat", "view", 15 + HOUR),
    event("ann", "pen", "cart_add", 15 + 2 * HOUR),
    event("ann", "pen", "purchase", 15 + 4 * HOUR, known=18, amount=9.0),
    event("ann", "pen", "view", 15 + 8 * HOUR),
]


def test_what_one_sitting_led_to_is_one_example_at_its_first_event():
    examples = examples_of([*PAST, *SITTING])

    of_ann_and_pen = (examples.user_rows == 0) & (examples.item_rows == 2)
    first, again = np.flatnonzero(of_ann_and_pen)
    assert examples.at[[first, again]].tolist() == [15 * DAY, int((15 + 8 * HOUR) * DAY)]
    assert (examples.weight[first], examples.target[first], examples.is_purchase[first]) == (5.0, 9.0, True)
    assert examples.known_at[first] == 18 * DAY
    assert (examples.weight[again], examples.is_purchase[again]) == (1.0, False)
    assert np.isnan(examples.target[again])


def test_an_encounter_is_not_part_of_its_own_history():
    examples = examples_of(SITTING)
    hat, _, pen = examples.candidates.ids[:, 0]

    assert examples.item_rows.tolist() == [2, 0, 2, 2]
    assert examples.queries.history_items.tolist() == [[0] * 4, [pen, 0, 0, 0], [0] * 4, [pen, pen, hat, pen]]


def test_examples_are_in_time_order():
    assert (np.diff(examples_of([*PAST, *SITTING]).at) >= 0).all()


def test_the_history_is_what_the_user_had_done_strictly_before():
    examples = examples_of(PAST)
    hat, mug, pen = examples.candidates.ids[:, 0]

    assert examples.queries.history_items.tolist() == [[hat, 0, 0, 0], [mug, hat, 0, 0], [pen, pen, 0, 0]]


def test_what_happens_in_the_same_second_is_not_yet_history():
    together = [event("ann", "hat", "purchase", 12), event("ann", "mug", "purchase", 12)]

    assert not examples_of(together).queries.history_items.any()


def test_ages_are_counted_from_the_example_itself():
    ages = examples_of(PAST).queries.history_ages

    assert ages[1] == pytest.approx([np.log1p(12 - 11), np.log1p(12 - 5), 0, 0])


@pytest.mark.parametrize(
    "later",
    [
        event("ann", "pen", "purchase", 21),
        event("ann", "pen", "purchase", 20),
        event("ann", "pen", "purchase", 12.5, known=20),
        event("bob", "hat", "view", 4, known=30),
    ],
    ids=["after the window", "at its end", "known too late", "old but known too late"],
)
def test_nothing_that_happened_or_arrived_later_changes_an_example(later):
    assert same(examples_of(PAST), examples_of([*PAST, later]))


def test_an_earlier_event_does_change_the_examples():
    assert not same(examples_of(PAST), examples_of([*PAST, event("ann", "pen", "purchase", 8)]))


def test_the_target_is_known_where_the_shop_knows_it():
    assert examples_of(PAST).target.tolist() == pytest.approx([np.nan, 6.0, np.nan], nan_ok=True)
    assert examples_of(PAST, target_column="quantity").target.tolist() == pytest.approx(
        [np.nan, 3.0, np.nan], nan_ok=True
    )


def test_an_unknown_target_column_is_refused():
    with pytest.raises(RecipeError, match="Received: 'margin'"):
        examples_of(PAST, target_column="margin")


@pytest.mark.parametrize("instants", ["at", "known_at"])
def test_examples_that_look_ahead_cannot_be_made(instants):
    examples = examples_of(PAST)

    with pytest.raises(LeakageError, match="end of its window"):
        replace(examples, **{instants: np.full(len(examples), WINDOW.end)})


def test_item_shares_are_shares_of_the_examples():
    assert examples_of(PAST).item_shares.tolist() == pytest.approx([1 / 3, 2 / 3, 0])


def test_everything_a_step_takes_is_a_number():
    assert {array.dtype.kind for array in examples_of(PAST).arrays().values()} <= set("ifb")


def test_saved_and_loaded_examples_are_the_same(tmp_path):
    examples = examples_of(PAST)

    examples.save(tmp_path)
    loaded = RetrievalExamples.load(tmp_path)

    assert same(examples, loaded)
    assert loaded.window == examples.window
    assert loaded.encoder.candidate_sizes == examples.encoder.candidate_sizes


def test_a_window_without_interest_is_refused_before_training():
    with pytest.raises(DataError, match="Load more days"):
        require_examples(examples_of([event("bob", "pen", "return", 14)]))


def test_blocks_of_queries_join_to_what_one_block_gives(monkeypatch):
    whole = examples_of(PAST)
    monkeypatch.setattr("ml.dataset.examples.BLOCK", 2)

    assert same(whole, examples_of(PAST))
    assert [len(getattr(whole.queries, part.name)) for part in fields(whole.queries)] == [3] * 5
