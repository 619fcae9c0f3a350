"""What sources find alone, where tastes are planted."""

from benchmarks.sources import recalls
from ml.runtime.candidates import NEIGHBOURS
from tests.benchmarks.test_leaderboard import CHANCE, USERS, contest

SILENT = ("content", "bought_together", "repurchase")
"""The contest's items have no words, its events no baskets, and nobody takes an item twice."""


def test_sources_that_learn_from_people_find_the_planted_tastes():
    found = recalls(contest(0), {}, num_users=USERS)
    for name in ("spectral", "user_knn", *NEIGHBOURS):
        at_20, at_200 = found[name]
        assert (at_20 == at_200 == 0) if name in SILENT else (at_20 > 2 * CHANCE), name
    assert found["item_knn"][0] > 1.5 * found["popular"][0]


def test_a_value_that_is_set_changes_what_is_fitted():
    assert recalls(contest(0), {"knn_neighbours": 1, "newest_items": 1}, num_users=20)["recent_knn"][0] < CHANCE
