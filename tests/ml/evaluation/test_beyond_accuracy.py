from math import log2

import numpy as np
import pytest

from ml.evaluation.beyond_accuracy import catalogue_coverage_at_k, category_diversity_at_k, novelty_at_k

LISTS = np.array([[0, 1, 2], [0, 3, -1], [-1, -1, -1]], np.int32)


def test_coverage_counts_each_shown_item_once_and_only_recommendable_ones():
    recommendable = np.array([True, True, True, False, True])
    assert catalogue_coverage_at_k(LISTS, recommendable, k=3) == 3 / 4
    assert catalogue_coverage_at_k(LISTS, recommendable, k=1) == 1 / 4


def test_coverage_of_an_empty_catalogue_is_undefined():
    assert catalogue_coverage_at_k(LISTS, np.zeros(5, bool), k=3) is None


def test_novelty_is_the_mean_surprise_of_filled_places():
    bought = np.array([5.0, 1.0, 0.0, 0.0])
    surprise = [-log2((count + 1) / (6 + 4)) for count in bought]
    values = novelty_at_k(LISTS, bought, k=3)
    assert values[:2] == pytest.approx([sum(surprise[:3]) / 3, (surprise[0] + surprise[3]) / 2])
    assert np.isnan(values[2])


def test_diversity_is_the_share_of_unlike_pairs():
    categories = np.array([0, 0, 1, 2], np.int32)
    values = category_diversity_at_k(LISTS, categories, k=3)
    assert values[:2] == pytest.approx([2 / 3, 1 / 1])
    assert np.isnan(values[2])


def test_diversity_of_one_item_is_undefined():
    assert np.isnan(category_diversity_at_k(LISTS, np.zeros(4, np.int32), k=1)).all()
