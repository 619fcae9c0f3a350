"""Any logged answer can be made again, and explained, from its trace and its bundle."""

from dataclasses import replace
from datetime import timedelta

import lightgbm
import numpy as np
import pytest

from ml.contract.errors import BundleError
from ml.contract.events import EventType
from ml.evaluation.parity import LoggedList, parity
from ml.runtime.enrich import FEATURES
from ml.runtime.explain import EXPLORATION, LISTED, explain, explain_shown, provenance
from ml.runtime.exploration import ExplorationSettings
from ml.runtime.rank import Ranker
from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, RankRequest
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event, state_of
from ml.runtime.trace import RequestTrace, replayed
from tests import world

NOW = world.CUT + timedelta(hours=10, microseconds=123_457)
EVENTS = [
    Event(world.item_id(3), EventType.VIEW, NOW - timedelta(minutes=9)),
    Event(world.item_id(7), EventType.CART_ADD, NOW - timedelta(minutes=5)),
    Event("gone", EventType.VIEW, NOW - timedelta(minutes=4)),
    Event(world.item_id(6), EventType.PURCHASE, NOW - timedelta(days=20), quantity=3.5),
]
REQUESTS = {
    "known": HomeRequest(user_id=world.user_id(1), limit=20),
    "stranger": HomeRequest(limit=5),
    "session": HomeRequest(session_items=(world.item_id(3), "gone"), exclude=frozenset({world.item_id(7)}), region="AT"),
    "product": ProductRequest(item_id=world.item_id(2), user_id=world.user_id(1)),
    "cart": CartRequest(item_ids=(world.item_id(2), world.item_id(5)), include=frozenset({world.item_id(7)})),
    "together": BoughtTogetherRequest(item_id=world.item_id(4)),
    "rank": RankRequest(item_ids=tuple(world.item_id(n) for n in range(20)), user_id=world.user_id(4)),
}  # fmt: skip


def of_rules(bundle, *, share: float = 0.0, **rules):
    chance = ExplorationSettings(share=share, protected=0)
    return replace(bundle, settings=RequestSettings(rules=Rules(**rules), exploration=chance))


def answered(bundle, request, *, events=EVENTS, seed=None):
    shown = {world.item_id(9): NOW - timedelta(minutes=1)}
    state = state_of(bundle, bundle.users.of(request.user_id), events, NOW, recently_shown=shown)
    return recommend(bundle, request, state=state, now=NOW, seed=seed)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(
    "rules", [{}, {"max_per_category_in_top_10": 2, "recently_shown_hours": 1, "freshness_boost": 0.1, "share": 0.5}]
)
def test_an_answer_is_made_again_from_its_trace_alone(bundle, name, rules):
    shop = of_rules(bundle, **rules)
    for seed in range(8):
        answer = answered(shop, REQUESTS[name], seed=seed)
        trace = RequestTrace.from_json(RequestTrace.of(answer, shop).to_json())
        again = replayed(shop, trace)
        assert [item.item_id for item in again.items] == [item.item_id for item in answer.items]
        assert [i.score for i in again.items] == pytest.approx([i.score for i in answer.items], abs=1e-5)
        assert again == answer


def test_a_trace_is_small_and_survives_json(bundle):
    trace = RequestTrace.of(answered(bundle, REQUESTS["known"]), bundle)
    assert RequestTrace.model_validate(trace.model_dump(mode="json")) == trace
    assert len(trace.to_json()) < 2_500
    assert [event.item_id for event in trace.live] == [world.item_id(6), world.item_id(3), world.item_id(7)]


def test_a_trace_of_another_release_is_refused(bundle):
    trace = RequestTrace.of(answered(bundle, REQUESTS["known"]), bundle)
    with pytest.raises(BundleError, match=rf"needs bundle {bundle.version}\. Received: another"):
        replayed(replace(bundle, version="another"), trace)


def logged(*traces: RequestTrace) -> list[LoggedList]:
    return [LoggedList(f"r{n}", trace.bundle_version, trace.to_json()) for n, trace in enumerate(traces)]


def lists_of(bundle) -> list[LoggedList]:
    return logged(*(RequestTrace.of(answered(bundle, request), bundle) for request in REQUESTS.values()))


def test_parity_holds_over_logged_answers(bundle):
    lists = lists_of(bundle)
    report = parity({bundle.version: bundle}.get, lists)
    assert report.holds
    assert (report.num_replayed, report.num_without_bundle, report.num_different) == (len(REQUESTS), 0, 0)
    assert report.num_items == sum(len(RequestTrace.from_json(each.trace).shown) for each in lists)
    assert report.max_difference <= 1e-5


def test_parity_of_nothing_does_not_hold(bundle):
    assert not parity({}.get, []).holds
    gone = parity({}.get, lists_of(bundle))
    assert (gone.holds, gone.num_without_bundle) == (False, len(REQUESTS))
    older = parity({bundle.version: bundle}.get, [LoggedList("r", bundle.version, '{"model": "of long ago"}')])
    assert (older.holds, older.num_unreadable) == (False, 1)


def test_parity_counts_what_it_cannot_judge_beside_what_it_can(bundle):
    lists = lists_of(bundle)
    strays = [replace(lists[0], bundle_version="gone"), replace(lists[0], trace="{}")]
    report = parity({bundle.version: bundle}.get, lists + strays)
    assert report.holds
    assert (report.num_replayed, report.num_without_bundle, report.num_unreadable) == (len(REQUESTS), 1, 1)


def test_parity_asks_for_each_bundle_once(bundle):
    asked = []
    parity(lambda version: asked.append(version), [replace(each, bundle_version=f"v{n % 2}") for n, each in enumerate(lists_of(bundle))])  # fmt: skip
    assert asked == ["v0", "v1"]


def with_other_leaves(bundle):
    """The same trees, the first one's values a little off: what a changed library or a damaged feature would do."""
    booster = lightgbm.Booster(model_str=bundle.ranker.text)
    for leaf in range(booster.dump_model()["tree_info"][0]["num_leaves"]):
        booster.set_leaf_output(0, leaf, booster.get_leaf_output(0, leaf) + 0.01)
    return replace(bundle, ranker=Ranker(booster.model_to_string()))


def test_parity_notices_a_score_that_came_out_differently(bundle):
    report = parity({bundle.version: with_other_leaves(bundle)}.get, lists_of(bundle))
    assert not report.holds
    assert {found.surface for found in report.different} == {"homepage", "rank"}
    assert report.max_difference == pytest.approx(0.01, abs=1e-4)


def test_parity_notices_a_changed_score_item_or_history_of_the_log(bundle):
    trace = RequestTrace.of(answered(bundle, REQUESTS["known"]), bundle)
    first, second, *others = trace.shown
    changed = [
        trace.model_copy(update={"shown": (first._replace(score=first.score + 2e-5), second, *others)}),
        trace.model_copy(update={"shown": (second, first, *others)}),
        trace.model_copy(update={"shown": (first._replace(propensity=0.5), second, *others)}),
        trace.model_copy(update={"live": trace.live[:-1]}),
    ]
    report = parity({bundle.version: bundle}.get, logged(*changed))
    assert report.num_different == len(changed)
    said = [(found.request_id, found.found) for found in report.different]
    assert said == [
        ("r1", f"From place 1: logged {[item.item_id for item in changed[1].shown[:5]]}, made again {[item.item_id for item in trace.shown[:5]]}."),
        ("r3", "Another history: the bundle's record or the live events are not those of the request."),
        ("r2", "Scores or propensities differ by up to 0.5."),
        ("r0", "Scores or propensities differ by up to 2e-05."),
    ]  # fmt: skip


def test_an_explanation_adds_up_to_the_score(bundle):
    trace = RequestTrace.of(answered(bundle, REQUESTS["known"]), bundle)
    for shown, why in zip(trace.shown, explain_shown(bundle, trace), strict=True):
        assert (why.item_id, why.propensity, why.removed_by) == (shown.item_id, shown.propensity, ())
        assert why.score == pytest.approx(shown.score, abs=1e-5)
        assert why.ranker.score == pytest.approx(
            why.ranker.base + sum(part.contribution for part in why.ranker.contributions) + why.ranker.others, abs=1e-5
        )
        weights = [abs(part.contribution) for part in why.ranker.contributions]
        assert weights == sorted(weights, reverse=True)
        assert 0 < len(weights) <= LISTED
        assert shown.source in {source.source for source in why.sources if source.proposed}


def test_what_the_features_add_is_the_score_on_the_trees_own_thresholds_and_where_nothing_is_known(bundle):
    rows = bundle.ranker.golden()[:, :-1]
    assert np.isnan(rows).any()
    added = bundle.ranker.contributions(rows)
    assert added.shape == (len(rows), len(FEATURES) + 1)
    assert added.sum(axis=1) == pytest.approx(bundle.ranker.scores(rows), abs=1e-5)
    unused = [FEATURES.index(name) for name, gain in bundle.ranker.importances().items() if gain == 0]
    assert not added[:, unused].any(), "a feature that no tree looks at adds nothing"


def test_a_boost_is_told_apart_from_the_rankers_score(bundle):
    shop = of_rules(bundle, freshness_boost=0.5, freshness_days=1_000)
    trace = RequestTrace.of(answered(shop, REQUESTS["known"]), shop)
    why = explain_shown(shop, trace)[0]
    assert why.boost > 1.4
    assert why.score == pytest.approx(why.ranker.score + np.log(why.boost), abs=1e-5)


def test_a_list_without_a_ranker_is_explained_by_its_sources(bundle):
    trace = RequestTrace.of(answered(bundle, REQUESTS["product"]), bundle)
    explained = explain_shown(bundle, trace)
    assert all(why.ranker is None for why in explained)
    near = {source.source: source for source in explained[0].sources}["two_tower"]
    vectors = bundle.vectors[[bundle.items.row(explained[0].item_id), bundle.items.row(world.item_id(2))]]
    assert near.score == pytest.approx(vectors[0] @ vectors[1])
    assert near.proposed


def test_a_filler_is_explained_as_popular(bundle):
    trace = RequestTrace.of(answered(bundle, REQUESTS["stranger"], events=[]), bundle)
    why = explain_shown(bundle, trace)[0]
    assert [(source.source, source.share) for source in why.sources] == [("popular", 1.0)]
    assert (why.score, why.ranker, why.position) == (0.0, None, 1)


@pytest.mark.parametrize(
    ("item", "rules"),
    [
        (world.item_id(world.NUM_ITEMS - 1), ("out_of_stock",)),
        (world.item_id(7), ("in_cart",)),
        (world.item_id(9), ("recently_shown",)),
        (world.item_id(6), ("purchased",)),
        ("gone", ("unknown",)),
    ],
)
def test_a_missing_item_is_explained_by_the_rule_that_removed_it(bundle, item, rules):
    shop = of_rules(bundle, exclude_purchased=True, recently_shown_hours=1)
    trace = RequestTrace.of(answered(shop, HomeRequest(limit=39)), shop)
    why = explain(shop, trace, item)
    assert (why.position, why.removed_by) == (None, rules)


def test_an_item_behind_the_list_is_explained_by_its_place(bundle):
    trace = RequestTrace.of(answered(bundle, HomeRequest(user_id=world.user_id(1), limit=3)), bundle)
    everything = answered(bundle, HomeRequest(user_id=world.user_id(1), limit=10))
    why = explain(bundle, trace, everything.items[5].item_id)
    assert (why.position, why.place_by_score, why.removed_by, why.moved_by) == (None, 6, (), ())


def test_the_limit_that_moved_an_item_is_named(bundle):
    shop = of_rules(bundle, max_per_category_in_top_10=3)
    trace = RequestTrace.of(answered(shop, HomeRequest(user_id=world.user_id(1), limit=30), events=[]), shop)
    moved = [why for why in explain_shown(shop, trace) if why.moved_by]
    back = [why for why in moved if why.position > why.place_by_score]
    assert back
    assert all(why.position > 10 and why.moved_by == ("max_per_category_in_top_10",) for why in back)


def test_what_chance_put_there_says_so(bundle):
    shop = of_rules(bundle, share=0.5)
    for seed in range(20):
        answer = answered(shop, HomeRequest(user_id=world.user_id(1), limit=6), seed=seed)
        lucky = [item for item in answer.items if item.propensity < 0.5]
        trace = RequestTrace.of(answer, shop)
        assert [why.item_id for why in explain_shown(shop, trace) if EXPLORATION in why.moved_by] == [
            item.item_id for item in lucky
        ]


def test_provenance_leads_back_to_the_run_and_its_data(bundle):
    made = provenance(bundle)
    assert (made.bundle_version, made.cut_at) == (bundle.version, world.CUT)
    assert made.data_start_at == world.CUT - timedelta(days=world.NUM_DAYS)
    assert provenance(replace(bundle, manifest=None)).cut_at is None
