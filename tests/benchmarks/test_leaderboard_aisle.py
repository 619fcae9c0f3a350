"""Aisle in a contest: what a set without instants is made to look like, and the rows the default pipeline leaves."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.leaderboard import aisle
from benchmarks.leaderboard.contest import DEPTH
from benchmarks.leaderboard.snapshot import CUT, dated
from ml.dataset.split import WEEK
from ml.evaluation.ranking_metrics import Hits, recall_at_k
from ml.experiments.recipe import Recipe
from ml.features.history import SECONDS_PER_DAY
from ml.ranking.settings import RankerSettings
from ml.retrieval.settings import RetrieverSettings
from tests.benchmarks.test_leaderboard import CHANCE, USERS, contest

UNTIL, OLDEST, RECENT = int(CUT.timestamp()), 83 * SECONDS_PER_DAY, 35 * SECONDS_PER_DAY


def test_events_without_instants_get_them_and_nothing_else_changes():
    log = contest(0).past.log
    found = dated(log, until=UNTIL, oldest=OLDEST, recent=RECENT)
    pairs, before = (
        sorted(zip(each.user_rows.tolist(), each.item_rows.tolist(), strict=True)) for each in (found, log)
    )
    assert pairs == before
    assert (np.diff(found.occurred_at) >= 0).all()
    assert found.occurred_at.min() >= UNTIL - OLDEST
    assert found.occurred_at.max() < UNTIL
    np.testing.assert_array_equal(found.occurred_at, found.known_at)


def test_a_sixth_of_each_users_events_is_recent_and_the_rest_is_older():
    log = contest(0).past.log  # nine events a user: two are a sixth, rounded
    found = dated(log, until=UNTIL, oldest=OLDEST, recent=RECENT)
    recent = found.where(found.occurred_at >= UNTIL - RECENT)
    assert np.bincount(recent.user_rows).tolist() == [2] * USERS
    days = np.unique((UNTIL - recent.occurred_at) // SECONDS_PER_DAY)
    assert len(days) == 35  # all days of the ranker's weeks
    weeks = (recent.occurred_at - (UNTIL - RECENT)) // WEEK
    assert all(len(np.unique(weeks[recent.user_rows == user])) == 1 for user in range(USERS))


def test_an_order_is_kept_where_there_is_one():
    log = contest(0).past.log
    seq = np.arange(len(log), dtype=np.int64)
    ordered = replace(log, occurred_at=seq, known_at=seq)
    found = dated(ordered, until=UNTIL, oldest=OLDEST, recent=RECENT)
    for user in range(USERS):
        mine, theirs = (each.item_rows[each.user_rows == user] for each in (found, ordered))
        assert mine.tolist() == theirs.tolist()


@pytest.mark.tf
def test_aisle_leaves_three_rows_of_whole_lists_that_beat_chance():
    recipe = Recipe(
        name="small",
        retriever=RetrieverSettings(epochs=12, batch_size=128, embedding_dim=16, tower_layers=(32,)),
        ranker=RankerSettings(max_trees=10, min_rows_in_leaf=20),
    )
    asked = contest(1)
    found = aisle.lists(asked.without_answers(), recipe)
    assert set(found) == {f"{stage} (small)" for stage in (aisle.TOWERS, aisle.BLENDED, aisle.RANKED)}
    theirs = asked.touched[:USERS].toarray() > 0
    for name, lists in found.items():
        assert lists.shape == (USERS, DEPTH)
        assert (lists >= 0).all(), name
        assert not np.take_along_axis(theirs, lists, axis=1).any(), name
        assert np.nanmean(recall_at_k(Hits.of(lists, asked.relevant), k=20)) > 2 * CHANCE, name
