"""What counts as the same list when it is made again on another processor, which adds in another order."""

from dataclasses import replace

import pytest

from ml.evaluation import parity as module
from ml.evaluation.parity import TOLERANCE, LoggedList, parity
from ml.runtime.answer import RankedList
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.trace import RequestTrace
from tests import world

NEAR, FAR = TOLERANCE / 10, TOLERANCE * 10


@pytest.fixture
def logged(bundle) -> RankedList:
    return recommend(bundle, HomeRequest(user_id=world.user_id(0), limit=4), now=world.CUT)


def listed(logged: RankedList, *places: tuple[int, float]) -> RankedList:
    """Items of the logged list, each with the score it has now."""
    return replace(logged, items=tuple(logged.items[place]._replace(score=score) for place, score in places))


def judged(bundle, logged: RankedList, made_again: RankedList, monkeypatch) -> module.ParityReport:
    monkeypatch.setattr(module, "replayed", lambda _bundle, _trace: made_again)
    trace = RequestTrace.of(logged, bundle).to_json()
    return parity(lambda _version: bundle, [LoggedList("r1", bundle.version, trace)])


@pytest.mark.parametrize(
    ("then", "now", "holds"),
    [
        pytest.param([(0, 4.0), (1, 3.0)], [(0, 4.0), (1, 3.0)], True, id="the same"),
        pytest.param([(0, 3.0 + NEAR), (1, 3.0)], [(1, 3.0 + NEAR), (0, 3.0)], True, id="equals changed places"),
        pytest.param([(0, 3.0 + FAR), (1, 3.0)], [(1, 3.0), (0, 3.0 + FAR)], False, id="others changed places"),
        pytest.param([(0, 3.0 + FAR), (1, 3.0)], [(1, 3.0 + FAR), (0, 3.0)], False, id="and took the scores of these"),
        pytest.param([(0, 4.0), (1, 3.0)], [(0, 4.0), (2, 3.0 + NEAR)], True, id="an equal at the end"),
        pytest.param([(0, 4.0), (1, 3.0)], [(2, 4.0), (1, 3.0)], False, id="another one at the top, however good"),
        pytest.param([(0, 4.0), (1, 3.0)], [(0, 4.0)], False, id="one less"),
        pytest.param([(0, 4.0), (1, 3.0)], [(0, 4.0), (1, 3.0 + FAR)], False, id="another score"),
    ],
)
def test_only_items_of_one_score_may_change_places(bundle, logged, monkeypatch, then, now, holds):
    report = judged(bundle, listed(logged, *then), listed(logged, *now), monkeypatch)
    assert report.holds == holds
    has_changed = [place for place, _ in then] != [place for place, _ in now]
    assert report.num_changed_places == int(holds and has_changed)


def test_equals_that_changed_places_are_counted_beside_the_difference_of_their_scores(bundle, logged, monkeypatch):
    then, now = listed(logged, (0, 3.0 + NEAR), (1, 3.0)), listed(logged, (1, 3.0), (0, 3.0))
    report = judged(bundle, then, now, monkeypatch)
    assert (report.num_changed_places, report.num_different) == (1, 0)
    assert report.max_difference == pytest.approx(NEAR, rel=1e-3)
