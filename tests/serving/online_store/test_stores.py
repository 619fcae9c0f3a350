"""One contract, two stores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ml.contract.events import EventType
from ml.runtime.state import Event
from serving.online_store import EmbeddedStore, OnlineStore, Visit, embedded, redis_store, subjects_of
from serving.online_store.redis_store import RedisStore
from tests.serving.feedback.rows import DAY, NOW, NOW_US, SECOND, event
from tests.serving.services import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    store = EmbeddedStore() if request.param == "embedded" else RedisStore(request.getfixturevalue("redis_url"))
    yield store
    store.close()


def items(visit: Visit) -> list[str]:
    return sorted(event.item_id for event in visit.events)


def test_an_event_is_read_back_under_its_user_and_its_session(store):
    bought = event("e1", event_type=EventType.PURCHASE, quantity=2.0, user_id="a", session_id="b")
    store.append([bought])
    expected = Visit((Event("i001", EventType.PURCHASE, NOW, 2.0),))
    assert store.read(["u:a"], known_since_us=0) == expected
    assert store.read(["s:b"], known_since_us=0) == expected
    assert store.read(["u:a", "s:b"], known_since_us=0) == expected  # once
    assert store.read(["u:b", "s:a"], known_since_us=0) == Visit()


def test_a_user_and_the_session_before_the_login_are_one_visit(store):
    store.append([event("e1", user_id=None, session_id="b"), event("e2", item_id="i002", user_id="a")])
    assert items(store.read(["u:a", "s:b"], known_since_us=0)) == ["i001", "i002"]


def test_the_same_event_again_changes_nothing(store):
    store.append([event("e1"), event("e1")])
    store.append([event("e1")])
    assert len(store.read(["u:u"], known_since_us=0).events) == 1


def test_events_a_bundle_knows_are_left_out_by_when_they_became_known(store):
    late = event("late", item_id="i002", at_us=NOW_US - DAY, received_at_us=NOW_US)
    store.append([event("old", at_us=NOW_US - DAY), late, event("new", item_id="i003", at_us=NOW_US + SECOND)])
    assert items(store.read(["u:u"], known_since_us=NOW_US)) == ["i002", "i003"]
    assert items(store.read(["u:u"], known_since_us=NOW_US + 1)) == ["i003"]


def test_of_a_visitor_only_the_newest_events_are_kept(store, monkeypatch):
    for module in (embedded, redis_store):
        monkeypatch.setattr(module, "EVENTS_KEPT", 3)
    store.append([event(f"e{n}", item_id=f"i{n}", at_us=NOW_US + n) for n in range(5)])
    assert items(store.read(["u:u"], known_since_us=0)) == ["i2", "i3", "i4"]


def test_many_events_at_once_are_all_kept(store):
    store.append([event(f"e{n}", user_id=f"u{n % 7}") for n in range(2_000)])
    assert sum(len(store.read([f"u:u{user}"], known_since_us=0).events) for user in range(7)) == 2_000


def test_shown_items_are_remembered_with_when_they_were_shown_last(store, monkeypatch):
    for module in (embedded, redis_store):
        monkeypatch.setattr(module, "SHOWN_KEPT", 3)
    store.remember_shown(["u:a", "s:b"], ["i1", "i2"], at_us=NOW_US)
    store.remember_shown(["u:a"], ["i1", "i3", "i4"], at_us=NOW_US + SECOND)
    later = NOW + timedelta(seconds=1)
    assert store.read(["u:a"], known_since_us=0).shown == {"i1": later, "i3": later, "i4": later}
    assert store.read(["s:b"], known_since_us=0).shown == {"i1": NOW, "i2": NOW}
    assert store.read(["u:a", "s:b"], known_since_us=0).shown["i1"] == later
    store.remember_shown([], ["i1"], at_us=NOW_US)
    store.remember_shown(["u:a"], [], at_us=NOW_US)


def test_nobody_has_no_visit(store):
    assert store.read([], known_since_us=0) == Visit()


def test_it_knows_from_when_on_it_was_filled(store):
    assert store.filled_since() is None
    store.mark_filled(NOW_US)
    assert store.filled_since() == NOW_US


def test_threads_may_write_and_read_at_once(store):
    def work(worker: int) -> None:
        for number in range(50):
            store.append([event(f"{worker}-{number}", item_id=f"{worker}-{number}")])
            store.remember_shown(["u:u"], [f"{worker}"], at_us=NOW_US)
            assert f"{worker}-{number}" in items(store.read(["u:u"], known_since_us=0))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(store.read(["u:u"], known_since_us=0).events) == 200


def test_in_memory_the_visitors_longest_away_are_forgotten():
    store = EmbeddedStore(max_subjects=2)
    for user in ("a", "b"):
        store.append([event(f"e-{user}", user_id=user)])
    store.read(["u:a"], known_since_us=0)
    store.append([event("e-c", user_id="c")])
    assert [len(store.read([f"u:{user}"], known_since_us=0).events) for user in "abc"] == [1, 0, 1]


@pytest.mark.services
def test_in_redis_everything_ends_by_itself(redis_url):
    import redis

    store = RedisStore(redis_url)
    store.append([event("e1", session_id="s")])
    store.remember_shown(["u:u"], ["i1"], at_us=NOW_US)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys = client.keys("aisle:*")
        assert sorted(keys) == ["aisle:events:s:s", "aisle:events:u:u", "aisle:shown:u:u"]
        assert all(0 < client.ttl(key) <= redis_store.EVENTS_LIVE.total_seconds() for key in keys)
    store.close()


def test_subjects_never_mix_users_and_sessions():
    assert subjects_of(user="x", session=None) != subjects_of(user=None, session="x")
    assert subjects_of(user=None, session=None) == []
