import re
from base64 import b64decode
from datetime import UTC, datetime

import numpy as np
import pytest

from ml.contract.errors import ContractError
from ml.contract.events import EventType
from ml.evaluation import labels, page
from ml.evaluation.baselines import Past, standard_baselines
from ml.evaluation.head_metrics import of_numbers, of_probabilities
from ml.evaluation.intervals import BootstrapSettings, Interval, mean_interval, paired_interval
from ml.evaluation.ranking_metrics import Relevant
from ml.evaluation.report import CandidateRecall, EvaluationReport, EvaluationSettings, Latency
from ml.evaluation.scoring import EvaluationContext, evaluate
from ml.evaluation.strangers import Acquaintance
from ml.evaluation.variations import Yardstick, variations, variations_of
from ml.runtime.settings import RequestSettings
from tests.ml.evaluation.past import CUT, NUM_ITEMS, log_of

SETTINGS = EvaluationSettings(recall_depths=(1, 3), top=3, bootstrap=BootstrapSettings(resamples=200))
USERS = 40
DRAWN = Interval(0.25, 0.125, 0.375, USERS)


def judged(shift: int = 0, *, with_baselines: bool = True, champion_shift: int | None = None) -> EvaluationReport:
    """User u buys item u % 6 again and item (u + 1) % 6 for the first time; ours lists both first when `shift` is 0."""
    events = [(user, user % NUM_ITEMS, 5 + user / 10, EventType.PURCHASE) for user in range(USERS - 1)]
    past = Past.at(
        CUT, log_of(events), user_rows=np.arange(USERS, dtype=np.int32), recommendable=np.ones(NUM_ITEMS, bool)
    )
    relevant = Relevant.of_lists([{user % NUM_ITEMS, (user + 1) % NUM_ITEMS} for user in range(USERS)])
    ours = lists_of(shift)
    context = EvaluationContext(
        bundle_version="2026-01-01T04-ab",
        past=past,
        item_categories=np.arange(NUM_ITEMS, dtype=np.int32) % 2,
        category_names=("caps & hats", "mugs"),
        test_until=datetime(1970, 4, 18, tzinfo=UTC),
        heads=(
            of_numbers("rating", "test", np.array([1.0, 2.0]), np.array([1.0, 4.0])),
            of_probabilities("purchase", "test", np.array([0.5]), np.array([True])),
        ),
        candidates=(CandidateRecall.of("towers", ours, relevant),),
        variations=variations(
            dict.fromkeys(variations_of(RequestSettings()), ours),
            RequestSettings(),
            yardstick(relevant, past),
        ),
        acquaintances=tuple(Acquaintance(num_events=n, ndcg=DRAWN, recall=DRAWN) for n in (0, 1, None)),
        latency=Latency.of(np.array([0.001, 0.003])),
    )
    systems = {"aisle": ours, **(standard_baselines(past, k=3) if with_baselines else {})}
    if champion_shift is not None:
        systems["champion"] = lists_of(champion_shift)
    return evaluate(systems, relevant, context, SETTINGS)


def yardstick(relevant: Relevant, past: Past) -> Yardstick:
    return Yardstick(
        relevant=relevant,
        recommendable=past.recommendable,
        times_bought=past.times_bought,
        vectors=np.eye(NUM_ITEMS, dtype=np.float32),
        tail=np.arange(NUM_ITEMS) > 1,
        new=np.arange(NUM_ITEMS) > 4,
        of_new_sellers=None,
        k=SETTINGS.top,
        bootstrap=SETTINGS.bootstrap,
    )


def lists_of(shift: int) -> np.ndarray:
    return np.array([[(user + shift + place) % NUM_ITEMS for place in range(3)] for user in range(USERS)], np.int32)


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    return judged()


def test_a_perfect_system_is_measured_as_perfect_and_better_than_every_baseline(report):
    summary = report.summary
    assert summary.value("ndcg@3").mean == 1.0
    assert summary.value("recall@1").mean == 1 / 2
    assert {c.verdict for c in summary.comparisons if (c.slice, c.metric) == ("all", "ndcg@3")} == {"better"}
    assert summary.best_baseline("recall@1") == "own_history"


def test_slices_are_judged_apart(report):
    assert report.summary.value("recall@1", slice_name="bought_before").mean == 1.0
    assert report.summary.value("recall@1", slice_name="new_to_user").num_users == USERS
    assert report.summary.value("recall@3", slice_name="new_users").num_users == 1
    assert [part.num_pairs for part in report.summary.slices if part.name in ("new_to_user", "bought_before")] == [
        USERS + 1,
        USERS - 1,
    ]


def test_each_large_category_is_judged_apart(report):
    # Of a user's two items one is in each category, and ours has both among the first three.
    facts = {part.name: part.num_pairs for part in report.summary.slices}
    assert facts["category: caps & hats"] == facts["category: mugs"] == USERS
    assert report.summary.value("recall@3", slice_name="category: mugs").mean == 1.0
    assert "caps &amp; hats" in page.html_page(report.summary)


def test_scores_and_comparisons_are_those_of_the_per_user_values(report):
    ours, theirs = (report.per_user.of("ndcg@3", system=system) for system in ("aisle", "popular"))
    comparison = report.summary.comparison("ndcg@3", baseline="popular")
    alone = mean_interval(theirs, SETTINGS.bootstrap)
    measured = report.summary.value("ndcg@3", system="popular")
    assert (measured.mean, measured.low, measured.high) == pytest.approx((alone.mean, alone.low, alone.high))
    pair = paired_interval(ours, theirs, SETTINGS.bootstrap)
    assert (comparison.difference, comparison.ratio) == (pair.difference, pair.ratio)


def test_coverage_novelty_and_diversity_are_reported(report):
    assert {(c.system, c.k): c.share for c in report.summary.coverage}["aisle", 3] == 1.0
    assert report.summary.value("diversity@3").mean == pytest.approx(2 / 3)
    assert report.summary.value("novelty@3").mean > 0


def test_a_report_comes_back_from_its_folder_as_it_was(report, tmp_path):
    report.save(tmp_path)
    loaded = EvaluationReport.load(tmp_path)
    assert loaded.summary == report.summary
    assert loaded.per_user.columns == report.per_user.columns
    np.testing.assert_allclose(loaded.per_user.values, report.per_user.values, rtol=1e-6)


def test_flat_metrics_have_names_a_metric_store_accepts(report):
    flat = report.summary.flat_metrics()
    assert flat["ndcg_at_3"] == 1.0
    assert flat["bought_before.recall_at_1"] == 1.0
    assert flat["coverage_at_3"] == 1.0
    assert flat["rating.test.rmse"] == pytest.approx(2**0.5)
    assert "purchase.test.auc" not in flat  # undefined, so absent: never a zero
    assert all(re.fullmatch(r"[\w./ -]+", name) for name in flat)


def test_a_metric_nobody_measured_is_refused_with_what_there_is(report):
    with pytest.raises(ContractError, match=r"'recall@7' of 'aisle'.*Systems: aisle, own_history.*recall@1, recall@3"):
        report.summary.value("recall@7")
    with pytest.raises(ContractError, match="'recall@7' of 'aisle' on 'all'"):
        report.per_user.of("recall@7")
    with pytest.raises(ContractError, match=r"compared metric \(ndcg@3, recall@3\).*'map@3'"):
        report.summary.comparison("map@3", baseline="popular")


def test_an_evaluation_without_the_system_under_judgement_is_refused():
    with pytest.raises(ContractError, match=r"must hold 'aisle'\. Received: nothing"):
        evaluate({}, Relevant.of_lists([{1}]), None, SETTINGS)


def test_latency_without_requests_is_refused():
    with pytest.raises(ContractError, match="at least one request"):
        Latency.of(np.empty(0))


def test_candidate_recall_is_the_ceiling_of_a_list():
    wanted = Relevant.of_lists([{1, 2}, {3}, set()])
    part = CandidateRecall.of("towers", np.array([[1, 9], [4, -1], [5, 6]], np.int32), wanted)
    assert (part.recall, part.mean_candidates) == ((1 / 2 + 0) / 2, 5 / 3)


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (0, r"^Aisle ranks [\d.]+% better than the best baseline"),
        (2, r"^Aisle ranks [\d.]+% worse than the best baseline"),
    ],
)
def test_the_headline_says_what_the_interval_allows(shift, words):
    assert re.match(words, labels.headline(judged(shift).summary))


def test_the_headline_of_a_draw_claims_nothing():
    report = judged()
    own = report.summary.model_copy(
        update={"comparisons": tuple(_drawn(c) for c in report.summary.comparisons)},
    )
    assert labels.headline(own).startswith("Aisle cannot be told apart from the best baseline")


def _drawn(comparison):
    centred = type(comparison.difference)(0.0, -0.1, 0.1, comparison.difference.num_users)
    return comparison.model_copy(update={"difference": centred})


def test_the_live_release_is_told_apart_from_the_baselines():
    summary = judged(shift=2, champion_shift=0).summary
    assert "champion" not in summary.baselines
    assert summary.best_baseline("ndcg@3") != "champion"
    assert labels.against_champion(summary).startswith("Aisle ranks 100.0% worse than the release that is live")
    assert labels.against_champion(summary) in page.markdown_page(summary)
    assert labels.against_champion(judged().summary) is None


def test_the_page_needs_nothing_from_outside_and_holds_its_pictures(report):
    html = page.html_page(report.summary)
    assert not re.search(r"(?:src|href)=\"(?!data:)", html)
    assert "<script" not in html
    assert "url(" not in html
    pictures = [b64decode(match) for match in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]
    assert len(pictures) == 4
    assert all(b"</svg>" in picture for picture in pictures)
    for text in (
        labels.headline(report.summary).split("“")[0],
        "one class only",
        "their last event",
        "who they are, and all they did",
        "overlooked ones by 0.5",
        "Own purchases again",
        "new to the user".title()[:3],
    ):
        assert text in html


def test_the_same_report_gives_the_same_bytes(report):
    assert page.html_page(report.summary) == page.html_page(report.summary)


def test_what_a_user_named_is_shown_as_text_not_as_markup(report):
    named = report.summary.model_copy(update={"bundle_version": "<b>x</b>"})
    assert "<b>x</b>" not in page.html_page(named)


def test_both_pages_tell_the_same_numbers(report):
    html, markdown = page.html_page(report.summary), page.markdown_page(report.summary)
    shown = labels.with_interval(report.summary.value("ndcg@3", system="popular"))
    assert shown in markdown
    assert shown.split(" ")[0] in html
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_a_report_without_baselines_or_extras_still_makes_a_page():
    summary = judged(with_baselines=False).summary.model_copy(
        update={"heads": (), "candidates": (), "variations": (), "acquaintances": (), "latency": None}
    )
    assert "no baseline was judged" in page.html_page(summary)
    assert "no baseline was judged" in page.markdown_page(summary)
