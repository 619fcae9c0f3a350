"""A varied list: what the formula says, nothing lost, the best first, every rule kept, and told item by item."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.contract.types import Floats, Rows
from ml.runtime.diversity import DiversitySettings, varied
from ml.runtime.explain import DIVERSITY, explain_shown
from ml.runtime.recommend import recommend
from ml.runtime.requests import CartRequest, HomeRequest, ProductRequest, RankRequest
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings
from ml.runtime.trace import RequestTrace
from tests import world
from tests.ml.runtime.shops import EFFORT

NOW = world.CUT + timedelta(hours=10)
SETTINGS = st.builds(DiversitySettings, relevance=st.sampled_from([0.0, 0.3, 0.5, 0.9]), pool=st.integers(2, 30))


@st.composite
def rankings(draw: st.DrawFn) -> tuple[Rows, Floats, Floats]:
    """Ranked rows, their falling scores, and the vectors of a catalogue they are from, some of them equal."""
    num_items = draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 1_000)))
    kinds = rng.normal(size=(6, 4))
    vectors = kinds[rng.integers(0, 6, num_items)] + draw(st.sampled_from([0.0, 0.3])) * rng.normal(size=(num_items, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = -np.sort(-rng.choice([-3.0, -1.0, 0.0, 0.5, 2.0, 2.1], num_items))
    return rng.permutation(num_items).astype(np.int32), scores.astype(np.float32), vectors.astype(np.float32)


@EFFORT
@given(ranking=rankings(), settings=SETTINGS)
def test_each_place_has_the_item_of_most_marginal_relevance(ranking, settings):
    rows, scores, vectors = ranking
    found = varied(rows, scores, vectors, settings=settings).rows.tolist()
    pool = rows[: settings.pool].tolist()
    assert sorted(found) == sorted(rows.tolist())
    assert found[len(pool) :] == rows[len(pool) :].tolist()
    lowest, highest = float(scores[len(pool) - 1]), float(scores[0])
    share = {
        row: (float(score) - lowest) / (highest - lowest) if highest > lowest else 1.0
        for row, score in zip(pool, scores, strict=False)
    }
    for place, chosen in enumerate(found[: len(pool)]):
        above, left = found[:place], set(pool) - set(found[:place])

        def marginal(row: int, above: list[int] = above) -> float:
            likeness = max([0.0, *(float(vectors[row] @ vectors[other]) for other in above)])
            return settings.relevance * share[row] - (1 - settings.relevance) * likeness

        assert marginal(chosen) >= max(map(marginal, left)) - 1e-5


@EFFORT
@given(ranking=rankings(), settings=SETTINGS)
def test_the_best_stays_first_and_every_likeness_is_the_largest_above(ranking, settings):
    rows, scores, vectors = ranking
    found = varied(rows, scores, vectors, settings=settings)
    assert found.rows[0] == rows[0]
    for place in range(len(found.relevance)):
        cosines = vectors[found.rows[:place]] @ vectors[found.rows[place]]
        assert found.likeness[place] == pytest.approx(max([0.0, *cosines.tolist()]), abs=1e-5)
        assert (found.likest[place] == -1) == (found.likeness[place] <= 1e-7)
        assert found.likest[place] in (-1, *found.rows[:place])


def test_when_it_is_off_the_ranking_is_handed_on_as_it_is():
    rows, vectors = np.arange(3, dtype=np.int32), np.eye(3, dtype=np.float32)
    found = varied(rows, np.array([3, 2, 1], np.float32), vectors, settings=DiversitySettings())
    assert found.rows is rows
    assert found.place_of(0) is None


def test_a_twin_of_the_best_gives_way_to_what_is_unlike_both():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    rows, scores = np.arange(4, dtype=np.int32), np.array([1.0, 0.9, 0.5, 0.0], np.float32)
    found = varied(rows, scores, vectors, settings=DiversitySettings(relevance=0.6))
    # Behind item 0 its twin is worth 0.6 x 0.9 - 0.4 = 0.14, item 2 is worth 0.6 x 0.5 = 0.3, and item 3, which points away,
    # 0.6 x 0: no bonus for that.
    assert found.rows.tolist() == [0, 2, 1, 3]
    assert found.likest.tolist() == [-1, -1, 0, -1]


@pytest.mark.parametrize("wrong", [{"relevance": 1.1}, {"relevance": -0.1}, {"pool": 1}, {"strength": 0.5}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        DiversitySettings(**wrong)


def of(bundle, relevance: float, **rules):
    diversity = DiversitySettings(relevance=relevance)
    return replace(bundle, settings=RequestSettings(diversity=diversity, rules=Rules(**rules)))


def mean_likeness(bundle, answer) -> float:
    vectors = bundle.vectors[[item.item_row for item in answer.items[:10]]]
    return float((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean())


@pytest.mark.parametrize(
    "request_",
    [
        HomeRequest(user_id=world.user_id(1)),
        ProductRequest(item_id=world.item_id(2)),
        CartRequest(item_ids=(world.item_id(2), world.item_id(6))),
    ],
    ids=["home", "product", "cart"],
)
def test_less_weight_on_relevance_makes_a_list_more_varied(bundle, request_):
    by_score, varied_, most = (
        mean_likeness(bundle, recommend(of(bundle, weight), request_, now=NOW)) for weight in (1.0, 0.7, 0.1)
    )
    assert most <= varied_ + 1e-3
    assert varied_ <= by_score + 1e-6  # the same list: sums in another order
    assert most < by_score - 0.1


def test_a_longer_list_begins_with_the_shorter_one(bundle):
    shop = of(bundle, 0.4)
    short, long = (recommend(shop, HomeRequest(user_id=world.user_id(1), limit=n), now=NOW) for n in (4, 20))
    assert [item.item_id for item in short.items] == [item.item_id for item in long.items[:4]]


def test_the_callers_own_list_stays_in_the_order_of_its_scores(bundle):
    request = RankRequest(item_ids=tuple(world.item_id(n) for n in range(30)), user_id=world.user_id(1))
    assert recommend(of(bundle, 0.1), request, now=NOW) == recommend(bundle, request, now=NOW)


def test_what_likeness_moved_says_so_and_why(bundle):
    shop = of(bundle, 0.4, max_per_category_in_top_10=4)
    trace = RequestTrace.of(recommend(shop, HomeRequest(user_id=world.user_id(1), limit=12), now=NOW), shop)
    explained = explain_shown(shop, trace)
    moved = [why for why in explained if DIVERSITY in why.moved_by]
    assert moved
    assert any(why.position > why.place_by_score for why in moved)
    shown = [why.item_id for why in explained]
    for why in explained:
        if DIVERSITY not in why.moved_by:
            assert why.place_by_score == why.position or why.moved_by
        if why.diversity and why.diversity.to_item_id in shown:
            rows = [shop.items.row(item) for item in (why.item_id, why.diversity.to_item_id)]
            assert why.diversity.likeness == pytest.approx(shop.vectors[rows[0]] @ shop.vectors[rows[1]], abs=1e-5)
    assert explained[0].diversity.to_item_id is None


def test_a_list_without_diversity_says_nothing_of_likeness(bundle):
    trace = RequestTrace.of(recommend(bundle, HomeRequest(user_id=world.user_id(1)), now=NOW), bundle)
    assert {why.diversity for why in explain_shown(bundle, trace)} == {None}
