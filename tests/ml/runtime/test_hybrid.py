"""The blend that answers where no ranker does."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from ml.runtime.candidates import SOURCES, Candidates
from ml.runtime.deadline import RANKER, Shed
from ml.runtime.hybrid import CONTENT, POPULARITY, HybridSettings, hybrid
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.settings import RequestSettings
from tests import world

NOW = world.CUT + timedelta(hours=10)


def candidates(*scores: dict[str, float]) -> Candidates:
    table = np.array([[each.get(source, 0.0) for source in SOURCES] for each in scores], np.float32)
    table = table.reshape(-1, len(SOURCES))
    return Candidates(np.arange(len(scores), dtype=np.int32), table, table > 0)


def test_each_kind_counts_with_the_largest_share_of_its_sources():
    found = candidates(
        {"two_tower": 0.8, "popular": 10.0},
        {"two_tower": 0.4, "ease": 3.0, "item_knn": 0.2},
        {"ease": 1.5, "item_knn": 0.3, "popular": 5.0, "trending": 0.1},
    )
    # Shares of each source's best: towers 1, 1/2; ease 1, 1/2; item-kNN 2/3, 1; popular 1, 1/2; trending 1.
    assert hybrid(found, HybridSettings()) == pytest.approx([0.5 + 0.2, 0.5 / 2 + 0.3, 0.3 + 0.2])


def test_weights_are_those_of_the_recipe():
    found = candidates({"two_tower": 1.0, "ease": 1.0, "popular": 1.0})
    settings = HybridSettings(content=0.0, collaborative=1.0, popularity=0.25)
    assert hybrid(found, settings) == pytest.approx([1.25])


def test_nothing_proposed_is_nothing_scored():
    assert hybrid(candidates(), HybridSettings()).shape == (0,)


def test_every_source_is_of_one_kind_and_collaborative_ones_are_the_rest():
    assert not set(CONTENT) & set(POPULARITY)
    assert set(POPULARITY) < set(SOURCES)
    assert {"ease", "item_knn", "bought_together", "repurchase"} <= set(SOURCES) - {*CONTENT, *POPULARITY}


@pytest.mark.parametrize("without", ["a ranker", "time"])
def test_a_list_without_a_ranker_is_the_blends_and_says_so(bundle, without):
    shop = replace(bundle, settings=RequestSettings(hybrid=HybridSettings(content=0, collaborative=0, popularity=1)))
    shop, shed = (replace(shop, ranker=None), Shed()) if without == "a ranker" else (shop, Shed([RANKER]))
    answer = recommend(shop, HomeRequest(user_id=world.user_id(1), limit=5), now=NOW, shedding=shed)
    assert answer.degraded == (RANKER,)
    assert answer.items[0].score == pytest.approx(1.0)
    for item in answer.items:
        said = [item.sources.get(source, 0.0) for source in POPULARITY]
        assert item.score >= max(said) - 1e-3
