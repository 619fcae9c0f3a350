import numpy as np
import pytest

from ml.contract.events import EventType
from ml.evaluation.baselines import Past, item_knn, most_popular, own_history, standard_baselines
from tests.ml.evaluation.past import CUT, DAY, NUM_ITEMS, Event, log_of

BUY, VIEW = EventType.PURCHASE, EventType.VIEW

EVENTS: list[Event] = [
    (0, 0, 60, BUY), (1, 0, 60, BUY), (2, 0, 60, BUY),  # item 0: the old favourite
    (0, 1, 2, BUY), (1, 1, 2, BUY),  # item 1: the new one
    (0, 2, 50, BUY), (0, 2, 40, BUY),  # user 0 buys item 2 again and again
    (3, 3, 30, BUY), (3, 2, 30, BUY),  # item 3 goes with item 2
    (1, 4, 1, VIEW),  # item 4 was only looked at; item 5 never touched
]  # fmt: skip


def past_of(events=EVENTS, *, users=(0, 1, 2, 3), recommendable=None, baskets=None) -> Past:
    allowed = np.ones(NUM_ITEMS, bool) if recommendable is None else np.isin(np.arange(NUM_ITEMS), recommendable)
    return Past.at(CUT, log_of(events, baskets=baskets), user_rows=np.array(users, np.int32), recommendable=allowed)


def test_popular_of_all_time_counts_purchases_and_breaks_ties_by_row():
    # Items 0 and 2 were bought three times, 1 twice, 3 once; 4 and 5 never, so they are not popular at all.
    assert most_popular(past_of(), k=6).tolist() == [[0, 2, 1, 3, -1, -1]] * 4


def test_popular_lately_prefers_what_is_bought_now():
    assert most_popular(past_of(), k=2, decay_days=7.0)[0].tolist() == [1, 2]


def test_own_history_repeats_the_most_ordered_first_then_fills_with_what_is_popular_lately():
    lists = own_history(past_of(), k=4)
    # User 0: item 2 twice, then items 1 and 0 once each, 1 being more popular lately; then item 3.
    assert lists[0].tolist() == [2, 1, 0, 3]
    # User 2: item 0, then what sells: 1 two days ago, 2 and 3 thirty days ago, 2 before that as well.
    assert lists[2].tolist() == [0, 1, 2, 3]


def test_own_history_counts_orders_not_lines():
    events = [(0, 0, 3, BUY), (0, 0, 3, BUY), (0, 1, 3, BUY), (0, 1, 2, BUY)]
    assert own_history(past_of(events, users=[0], baskets=[7, 7, 7, 8]), k=2)[0].tolist() == [1, 0]
    unknown = [-1, -1, -1, -1]
    assert own_history(past_of([*events, (0, 0, 3, BUY)], users=[0], baskets=[*unknown, -1]), k=2)[0].tolist() == [0, 1]


def test_item_knn_finds_what_goes_together_and_with_own_items_the_own_ones_too():
    # User 3's own 2 and 3 lead; without them item 1 (shares buyer 0 with item 2) beats nothing closer.
    assert set(item_knn(past_of(), k=2, own_items=True)[3]) == {2, 3}
    assert item_knn(past_of(), k=3, own_items=False)[3].tolist() == [1, 0, -1]


def test_a_viewed_item_counts_as_taste_but_is_not_owned():
    assert 4 in item_knn(past_of(), k=4, own_items=False)[1]


def test_an_item_outside_the_recommendable_ones_is_in_no_list():
    for lists in standard_baselines(past_of(recommendable=[1, 3, 4]), k=6).values():
        assert set(np.unique(lists)) <= {-1, 1, 3, 4}


def test_strangers_get_what_is_popular_lately_and_may_be_asked_about_twice():
    past = past_of(users=[-1, 0, 77, 0, -1])
    popular = most_popular(past, k=6, decay_days=7.0)[0].tolist()
    for lists in (own_history(past, k=6), item_knn(past, k=6, own_items=True)):
        assert [lists[0].tolist(), lists[2].tolist(), lists[4].tolist()] == [popular] * 3
        assert lists[1].tolist() == lists[3].tolist() != popular


def test_every_baseline_lists_each_item_once_and_is_as_long_as_asked():
    for lists in standard_baselines(past_of(users=[0, 1, 2, 3, -1]), k=20).values():
        assert lists.shape == (5, 20)
        assert lists.dtype == np.int32
        for row in lists:
            filled = row[row >= 0].tolist()
            assert len(set(filled)) == len(filled)


def test_what_happens_after_the_cut_or_arrives_later_changes_no_baseline():
    later = [(2, 5, -1, BUY), (0, 4, -2, BUY)]
    before, after = (standard_baselines(past_of(events), k=6) for events in (EVENTS, [*EVENTS, *later]))
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    late = log_of(EVENTS)
    late.known_at[-1] = CUT + DAY
    assert (
        len(Past.at(CUT, late, user_rows=np.zeros(1, np.int32), recommendable=np.ones(6, bool)).log) == len(EVENTS) - 1
    )


def test_an_empty_past_gives_empty_lists():
    for lists in standard_baselines(past_of([], users=[-1, 0]), k=3).values():
        assert lists.tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize("own_items", [True, False])
def test_item_knn_in_blocks_equals_item_knn_at_once(monkeypatch, own_items):
    rng = np.random.default_rng(5)
    events = [
        (int(u), int(i), float(a), BUY) for u, i, a in zip(*rng.integers(0, [[20], [6], [50]], (3, 90)), strict=True)
    ]
    at_once = item_knn(past_of(events, users=range(20)), k=5, own_items=own_items)
    monkeypatch.setattr("ml.evaluation.lists.ROWS_AT_ONCE", 3)
    np.testing.assert_array_equal(item_knn(past_of(events, users=range(20)), k=5, own_items=own_items), at_once)
