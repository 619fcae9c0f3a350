import numpy as np
import pytest

from ml.contract.errors import BundleError, DataError
from ml.dataset.outcomes import OUTCOMES
from ml.ranking.examples import RankingExamples
from ml.ranking.train import SMOOTHED, best_number_of_trees, train_ranker
from ml.runtime.enrich import FEATURES
from ml.runtime.rank import Ranker
from tests import world

REQUESTS, CANDIDATES = 40, 30
SIGNAL = FEATURES.index("score_ease")


def week(seed: int, *, shuffled: bool = False) -> RankingExamples:
    """The item with the highest `score_ease` of each request is the one bought."""
    rng = np.random.default_rng(seed)
    features = rng.random((REQUESTS, CANDIDATES, len(FEATURES))).astype(np.float32)
    bought = features[:, :, SIGNAL].argmax(axis=1)
    if shuffled:
        bought = rng.integers(0, CANDIDATES, REQUESTS)
    outcomes = np.zeros((REQUESTS, CANDIDATES, len(OUTCOMES)), np.float32)
    outcomes[np.arange(REQUESTS), bought] = 1
    sizes = np.full(REQUESTS, CANDIDATES, np.int32)
    return RankingExamples(features.reshape(-1, len(FEATURES)), outcomes.reshape(-1, len(OUTCOMES)), sizes)


def test_the_ranker_finds_the_feature_that_decides():
    trained = train_ranker([week(seed) for seed in range(4)], settings=world.RANKER)
    unseen = week(99)
    scores = trained.ranker.scores(unseen.features).reshape(REQUESTS, CANDIDATES)
    found = (scores.argmax(axis=1) == unseen.outcomes[:, 0].reshape(REQUESTS, CANDIDATES).argmax(axis=1)).mean()
    assert found > 15 / CANDIDATES  # fifteen times what chance finds
    assert max(trained.ranker.importances().items(), key=lambda item: item[1])[0] == "score_ease"


def test_labels_drawn_at_random_teach_nothing():
    learned = train_ranker([week(seed) for seed in range(4)], settings=world.RANKER)
    random = train_ranker([week(seed, shuffled=True) for seed in range(4)], settings=world.RANKER)
    assert random.validation_ndcg < 0.5 * learned.validation_ndcg


def test_training_twice_gives_the_same_ranker():
    weeks = [week(seed) for seed in range(3)]
    assert (
        train_ranker(weeks, settings=world.RANKER).ranker.text == train_ranker(weeks, settings=world.RANKER).ranker.text
    )


def test_one_week_is_not_enough_to_know_when_to_stop():
    with pytest.raises(DataError, match="at least two weeks"):
        train_ranker([week(0)], settings=world.RANKER)


def test_a_ranker_of_other_features_is_refused(tmp_path):
    trained = train_ranker([week(seed) for seed in range(2)], settings=world.RANKER)
    (tmp_path / "ranker.txt").write_text(trained.ranker.text.replace("score_ease", "score_other"))
    with pytest.raises(BundleError, match="are not this version's"):
        Ranker.load(tmp_path / "ranker.txt")


def test_the_best_number_of_trees_is_where_the_curve_stays_high():
    lucky = [0.0] * 10 + [1.0] + [0.0] * 29
    steady = [0.0] * 60 + [0.5] * SMOOTHED + [0.0] * 20
    best = best_number_of_trees(lucky + steady)
    assert best.num_trees == len(lucky) + 60 + (SMOOTHED + 1) // 2
    assert best.ndcg == pytest.approx(0.5)


def test_a_short_curve_still_has_a_best_place():
    assert best_number_of_trees([0.1]).num_trees == 1


DEAR = FEATURES.index("score_item_knn")


def shop_week(seed: int) -> RankingExamples:
    """People look at what `SIGNAL` is highest of, and buy, for much money, what `DEAR` is highest of."""
    rng = np.random.default_rng(seed)
    features = rng.random((REQUESTS, CANDIDATES, len(FEATURES))).astype(np.float32)
    outcomes = np.zeros((REQUESTS, CANDIDATES, len(OUTCOMES)), np.float32)
    requests = np.arange(REQUESTS)
    outcomes[requests, features[:, :, SIGNAL].argmax(axis=1)] = [1, 0, 0]
    outcomes[requests, features[:, :, DEAR].argmax(axis=1)] = [1, 1, 1]
    sizes = np.full(REQUESTS, CANDIDATES, np.int32)
    return RankingExamples(features.reshape(-1, len(FEATURES)), outcomes.reshape(-1, len(OUTCOMES)), sizes)


def first_by(outcome: str, **weights: float) -> float:
    """Share of unseen requests whose first item has the outcome, by a ranker of these weights."""
    settings = world.RANKER.model_copy(update=weights)
    ranker = train_ranker([shop_week(seed) for seed in range(4)], settings=settings).ranker
    unseen = shop_week(99)
    first = ranker.scores(unseen.features).reshape(REQUESTS, CANDIDATES).argmax(axis=1)
    values = unseen.outcomes.reshape(REQUESTS, CANDIDATES, len(OUTCOMES))
    return float(values[np.arange(REQUESTS), first, OUTCOMES.index(outcome)].mean())


def test_the_more_purchases_weigh_against_clicks_the_more_of_them_come_first():
    assert first_by("conversion", click_weight=0.0) > first_by("conversion", click_weight=1.0, conversion_weight=0.0)


def test_money_can_be_the_goal():
    assert first_by("revenue", click_weight=0.0, conversion_weight=0.0, revenue_weight=1.0) > 15 / CANDIDATES


def test_the_newest_weeks_choose_how_large_the_trees_are():
    weeks = [week(seed) for seed in range(4)]
    alone = {
        leaves: train_ranker(weeks, settings=world.RANKER.model_copy(update={"num_leaves": leaves, "fewer_leaves": ()}))
        for leaves in (3, 31)
    }
    chosen = train_ranker(weeks, settings=world.RANKER.model_copy(update={"num_leaves": 31, "fewer_leaves": (3,)}))
    best = max(alone.values(), key=lambda trained: trained.validation_ndcg)
    assert (chosen.num_leaves, chosen.validation_ndcg) == (best.num_leaves, best.validation_ndcg)
    assert chosen.ranker.text == best.ranker.text
