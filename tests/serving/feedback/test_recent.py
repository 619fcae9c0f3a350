"""Who was here lately, on both databases."""

from functools import partial

import pytest

from serving.feedback import recent
from serving.feedback.recent import recent_visitors
from serving.feedback.records import instant_of
from tests.serving.feedback.rows import NOW_US, SECOND, event


@pytest.fixture
def visited(log):
    rows = [
        event("e1", user_id="anna", at_us=NOW_US),
        event("e2", user_id=None, session_id="s1", at_us=NOW_US + SECOND),
        event("e3", user_id="anna", session_id="s2", at_us=NOW_US + 2 * SECOND),
        event("e4", user_id="bert", at_us=NOW_US + 3 * SECOND),
    ]
    log.add(rows).result(20)
    return log


def test_the_latest_come_first_and_the_session_of_a_user_is_the_user(visited):
    found = visited.ask(partial(recent_visitors, limit=10))
    assert [(one.user, one.session, one.events) for one in found] == [
        ("bert", None, 1),
        ("anna", None, 2),
        (None, "s1", 1),
    ]
    assert found[1].last_event_at == instant_of(NOW_US + 2 * SECOND)


def test_no_more_than_asked_for_come_and_no_more_than_a_bounded_number_of_events_are_read(visited, monkeypatch):
    assert [one.user for one in visited.ask(partial(recent_visitors, limit=1))] == ["bert"]
    monkeypatch.setattr(recent, "LOOKED_AT", 2)
    assert [(one.user, one.events) for one in visited.ask(partial(recent_visitors, limit=10))] == [
        ("bert", 1),
        ("anna", 1),
    ]


def test_nobody_was_in_an_empty_log(log):
    assert log.ask(partial(recent_visitors, limit=10)) == []
