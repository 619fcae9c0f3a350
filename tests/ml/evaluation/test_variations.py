"""What other settings cost and bring, on lists whose right figures are known."""

import numpy as np
import pytest

from ml.evaluation.exposure import exposure_of_items, gini, share_of
from ml.evaluation.intervals import BootstrapSettings
from ml.evaluation.ranking_metrics import Relevant
from ml.evaluation.variations import BOOST, RELEVANCES, Yardstick, variations, variations_of
from ml.runtime.diversity import DiversitySettings
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings

NUM_ITEMS = 4


def yardstick(**changed) -> Yardstick:
    known = {
        "relevant": Relevant.of_lists([{0}, {1}]),
        "recommendable": np.ones(NUM_ITEMS, bool),
        "times_bought": np.array([8.0, 4.0, 0.0, 0.0]),
        "vectors": np.eye(NUM_ITEMS, dtype=np.float32),
        "tail": np.array([False, False, True, True]),
        "new": np.array([False, False, False, True]),
        "of_new_sellers": None,
        "k": 2,
        "bootstrap": BootstrapSettings(resamples=100),
    }
    return Yardstick(**{**known, **changed})


def test_the_curve_goes_through_the_bundles_own_point_and_changes_nothing_else():
    own = RequestSettings(diversity=DiversitySettings(relevance=0.6, pool=9), rules=Rules(exclude_purchased=True))
    curve = {name: settings for name, (kind, settings) in variations_of(own).items() if kind == "diversity"}
    assert [settings.diversity.relevance for settings in curve.values()] == sorted({*RELEVANCES, 0.6}, reverse=True)
    assert curve["lambda 0.6"] == own
    assert all(settings.diversity.pool == 9 and settings.rules == own.rules for settings in curve.values())


def test_boosts_are_shown_off_and_each_kind_alone_and_as_set_where_they_are():
    found = {
        name: settings.rules for name, (kind, settings) in variations_of(RequestSettings()).items() if kind == "boosts"
    }
    assert found["no boosts"] == Rules()
    assert found[f"new ones by {BOOST:g}"] == Rules(freshness_boost=BOOST, new_seller_boost=BOOST)
    assert found[f"overlooked ones by {BOOST:g}"] == Rules(exposure_boost=BOOST, seller_exposure_boost=BOOST)
    assert "as set" not in found
    own = RequestSettings(rules=Rules(freshness_boost=0.1, max_per_seller_in_top_10=2))
    assert variations_of(own)["as set"] == ("boosts", own)
    assert variations_of(own)["no boosts"][1].rules == Rules(max_per_seller_in_top_10=2)


def test_each_variation_is_measured_by_its_own_lists():
    own = RequestSettings()
    good = np.array([[0, 1], [1, 0]], np.int32)
    lists = dict.fromkeys(variations_of(own), good)
    lists["lambda 0.3"] = np.array([[0, 3], [1, 3]], np.int32)
    lists["overlooked ones by 0.5"] = np.array([[2, 3], [3, 2]], np.int32)
    found = {part.name: part for part in variations(lists, own, yardstick())}
    assert [part.name for part in found.values() if part.is_own] == ["lambda 1", "no boosts"]
    assert found["lambda 1"].ndcg.mean == found["lambda 0.3"].ndcg.mean == 1.0
    assert found["overlooked ones by 0.5"].ndcg.mean == 0.0
    second = 1 / np.log2(3)
    assert found["lambda 1"].tail_share == 0.0
    assert found["lambda 0.3"].new_item_share == pytest.approx(2 * second / (2 + 2 * second))
    assert found["overlooked ones by 0.5"].tail_share == 1.0
    assert found["overlooked ones by 0.5"].coverage == 2 / NUM_ITEMS
    assert found["lambda 0.3"].novelty > found["lambda 1"].novelty
    assert found["lambda 1"].new_seller_share is None


def test_new_sellers_get_the_share_of_their_items():
    lists = dict.fromkeys(variations_of(RequestSettings()), np.array([[0, 1], [0, 2]], np.int32))
    measure = yardstick(of_new_sellers=np.array([True, False, False, False]))
    part = variations(lists, RequestSettings(), measure)[0]
    assert part.new_seller_share == pytest.approx(2 / (2 + 2 / np.log2(3)))


def test_nothing_shown_has_no_shares_instead_of_zero():
    nothing = exposure_of_items(np.full((2, 3), -1, np.int32), num_items=NUM_ITEMS, k=3)
    assert share_of(nothing, np.ones(NUM_ITEMS, bool)) is None
    assert gini(nothing) is None


@pytest.mark.parametrize("times", [1, 7.5])
def test_gini_does_not_depend_on_how_much_is_shown_or_on_the_order(times):
    exposure = np.array([0.0, 1.0, 2.0, 5.0])
    # Mean absolute difference of all pairs over twice the mean.
    pairs = np.abs(exposure[:, None] - exposure[None, :]).mean() / (2 * exposure.mean())
    assert gini(times * exposure[[2, 0, 3, 1]]) == pytest.approx(pairs)
