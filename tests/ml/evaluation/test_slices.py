import numpy as np

from ml.contract.events import EventType
from ml.evaluation.baselines import Past
from ml.evaluation.ranking_metrics import Relevant
from ml.evaluation.slices import SliceSettings, category_slices, standard_slices
from tests.ml.evaluation.past import CUT, NUM_ITEMS, log_of

BUY = EventType.PURCHASE
EVENTS = [
    (0, 0, 60, BUY),
    (0, 0, 50, BUY),
    (0, 1, 40, BUY),
    (1, 0, 30, BUY),
    (2, 2, 3, BUY),
    (2, 2, 2, BUY),
    (2, 2, 1, EventType.VIEW),
]
PAST = Past.at(CUT, log_of(EVENTS), user_rows=np.array([0, 1, 2, -1], np.int32), recommendable=np.ones(NUM_ITEMS, bool))
RELEVANT = Relevant.of_lists([{0, 2}, {1}, {2, 5}, {0, 5}])


def pairs_of(name: str, **settings) -> list[tuple[int, int]]:
    part = next(s for s in standard_slices(RELEVANT, PAST, SliceSettings(**settings)) if s.name == name)
    inside = part.of(RELEVANT)
    return list(zip(inside.owners.tolist(), inside.item_rows.tolist(), strict=True))


def test_all_keeps_every_pair():
    assert pairs_of("all") == [(0, 0), (0, 2), (1, 1), (2, 2), (2, 5), (3, 0), (3, 5)]


def test_bought_before_and_new_to_user_split_the_pairs():
    assert pairs_of("bought_before") == [(0, 0), (2, 2)]
    assert pairs_of("new_to_user") == [(0, 2), (1, 1), (2, 5), (3, 0), (3, 5)]


def test_new_light_and_heavy_users_split_the_users():
    # Users 0, 1 and 2 had 3, 1 and 3 events; the median is 3, so nobody is above it.
    assert pairs_of("new_users") == [(3, 0), (3, 5)]
    assert pairs_of("light_users") == [(0, 0), (0, 2), (1, 1), (2, 2), (2, 5)]
    assert pairs_of("heavy_users") == []


def test_tail_items_are_those_outside_the_most_bought_and_never_bought_ones_are_tail():
    # Bought: item 0 three times, item 2 twice, item 1 once. A third of three items is one: item 0.
    assert pairs_of("tail_items", head_share=1 / 3) == [(0, 2), (1, 1), (2, 2), (2, 5), (3, 5)]


def test_new_items_were_first_seen_lately_or_never():
    assert pairs_of("new_items", new_item_days=7) == [(0, 2), (2, 2), (2, 5), (3, 5)]
    assert pairs_of("new_items", new_item_days=0.5) == [(2, 5), (3, 5)]


def test_slices_of_a_past_without_events_make_everybody_and_everything_new():
    nothing = Past.at(CUT, log_of([]), user_rows=PAST.user_rows, recommendable=PAST.recommendable)
    sizes = {part.name: len(part.of(RELEVANT).item_rows) for part in standard_slices(RELEVANT, nothing)}
    assert sizes["new_users"] == sizes["new_items"] == sizes["new_to_user"] == sizes["all"] == 7
    assert sizes["light_users"] == sizes["heavy_users"] == sizes["bought_before"] == 0


def test_the_categories_most_was_wanted_of_are_looked_at_apart():
    categories = np.array(
        [1, 1, 0, -1, -1, 2], np.int32
    )  # wanted: 2 x hats (item 2), 3 x mugs (items 0, 1), 2 x cups (item 5)
    found = category_slices(RELEVANT, categories, ["hats", "mugs", "cups", "shoes"], SliceSettings(categories=2))
    assert [part.name for part in found] == ["category: mugs", "category: hats"]
    inside = found[0].of(RELEVANT)
    assert list(zip(inside.owners.tolist(), inside.item_rows.tolist(), strict=True)) == [(0, 0), (1, 1), (3, 0)]


def test_a_category_nobody_wanted_is_no_slice_and_a_shop_without_categories_has_none():
    unknown = np.full(NUM_ITEMS, -1, np.int32)
    assert category_slices(RELEVANT, unknown, []) == ()
    assert [part.name for part in category_slices(RELEVANT, np.zeros(NUM_ITEMS, np.int32), ["all", "none"])] == [
        "category: all"
    ]
