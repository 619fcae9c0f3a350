from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract.errors import ContractError
from ml.evaluation.ranking_metrics import (
    Hits,
    Relevant,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)

METRICS = [
    recall_at_k,
    precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    average_precision_at_k,
    reciprocal_rank_at_k,
]
DEPTH = 6
items = st.integers(0, 12)


def hits_of(lists: list[list[int]], wanted: list[set[int]]) -> Hits:
    padded = [[*row, *[-1] * (DEPTH - len(row))] for row in lists]
    return Hits.of(np.array(padded, np.int32).reshape(len(lists), DEPTH), Relevant.of_lists(wanted))


users = st.lists(
    st.tuples(st.lists(items, unique=True, max_size=DEPTH), st.sets(items, max_size=5)), min_size=1, max_size=6
)


@pytest.mark.parametrize("metric", METRICS)
@given(wanted=st.sets(items, min_size=DEPTH, max_size=12))
def test_a_list_of_wanted_items_only_scores_one(metric, wanted):
    full = hits_of([sorted(wanted)[:DEPTH]], [wanted])
    expected = DEPTH / len(wanted) if metric is recall_at_k else 1.0
    assert metric(full, k=DEPTH) == pytest.approx([expected])


@pytest.mark.parametrize("metric", METRICS)
@given(users=users, seed=st.integers(0, 99))
def test_the_order_of_users_changes_nobodys_value(metric, users, seed):
    order = np.random.default_rng(seed).permutation(len(users))
    lists, wanted = zip(*users, strict=True)
    values = metric(hits_of(list(lists), list(wanted)), k=3)
    shuffled = metric(hits_of([lists[i] for i in order], [wanted[i] for i in order]), k=3)
    np.testing.assert_array_equal(values[order], shuffled)


@pytest.mark.parametrize("metric", METRICS)
@given(
    ranked=st.lists(items, unique=True, max_size=DEPTH - 1),
    wanted=st.sets(items, min_size=1, max_size=5),
    at=st.integers(0, 5),
)
def test_a_miss_put_into_a_list_never_helps(metric, ranked, wanted, at):
    with_miss = [*ranked[:at], 99, *ranked[at:]]
    before, after = (metric(hits_of([row], [wanted]), k=4)[0] for row in (ranked, with_miss))
    assert after <= before


@pytest.mark.parametrize("metric", METRICS)
@given(users=users)
def test_values_lie_between_zero_and_one_and_are_nan_exactly_where_nothing_was_wanted(metric, users):
    lists, wanted = zip(*users, strict=True)
    values = metric(hits_of(list(lists), list(wanted)), k=DEPTH)
    assert [bool(np.isnan(value)) for value in values] == [not some for some in wanted]
    assert ((values >= 0) & (values <= 1 + 1e-12) | np.isnan(values)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_an_empty_list_scores_zero_where_something_was_wanted(metric):
    assert metric(hits_of([[]], [{1}]), k=3).tolist() == [0.0]


def test_ndcg_discounts_a_hit_at_rank_three():
    ideal = 1 / log2(2) + 1 / log2(3)  # two relevant items, placed first and second
    assert ndcg_at_k(hits_of([[7, 8, 1]], [{1, 2}]), k=3) == pytest.approx([(1 / log2(4)) / ideal])


def test_recall_divides_by_everything_wanted_and_average_precision_by_what_fits():
    hits = hits_of([[1, 2]], [{1, 2, 3, 4}])
    assert recall_at_k(hits, k=2).tolist() == [2 / 4]
    assert average_precision_at_k(hits, k=2).tolist() == [(1 / 1 + 2 / 2) / 2]


def test_a_hit_below_k_does_not_count():
    hits = hits_of([[7, 8, 1]], [{1}])
    assert [metric(hits, k=2)[0] for metric in METRICS] == [0.0] * len(METRICS)


def test_padding_is_never_a_hit_of_the_next_users_items():
    # Keys are user x span + item: -1 of user 1 has the key of the last item of user 0.
    assert not hits_of([[], []], [{12}, {12}]).at.any()


@given(st.lists(st.sets(items), min_size=1, max_size=5), st.randoms())
def test_pairs_in_any_order_and_number_give_the_same_relevant_items(wanted, random):
    pairs = [(user, item) for user, some in enumerate(wanted) for item in some] * 2
    random.shuffle(pairs)
    user_rows, item_rows = np.array(pairs, np.int32).reshape(-1, 2).T
    relevant = Relevant.of_pairs(user_rows, item_rows, num_users=len(wanted))
    owned = [
        relevant.item_rows[start:end].tolist() for start, end in zip(relevant.starts, relevant.starts[1:], strict=False)
    ]
    assert owned == [sorted(some) for some in wanted]
    assert relevant.owners.tolist() == [user for user, some in enumerate(wanted) for _ in some]


def test_a_mask_of_pairs_keeps_every_user():
    relevant = Relevant.of_lists([{1, 2}, {3}, set()]).where(np.array([False, True, False]))
    assert relevant.starts.tolist() == [0, 1, 1, 1]
    assert relevant.item_rows.tolist() == [2]


def test_an_item_listed_twice_is_refused():
    with pytest.raises(ContractError, match=r"holds each item once.*item row 5 twice in list 1"):
        hits_of([[1, 2], [5, 6, 5]], [{1}, {5}])


def test_lists_of_other_users_are_refused():
    with pytest.raises(ContractError, match="1 lists for 2 users"):
        hits_of([[1]], [{1}, {2}])


@pytest.mark.parametrize("k", [0, DEPTH + 1])
def test_a_depth_the_lists_do_not_have_is_refused(k):
    with pytest.raises(ContractError, match=f"between 1 and the depth of the lists, {DEPTH}. Received: {k}"):
        recall_at_k(hits_of([[1]], [{1}]), k=k)
