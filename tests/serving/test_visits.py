"""The store of visits follows the log: at the start, to an older cut, after it was away."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from ml.contract.errors import OnlineStoreError
from ml.runtime.bundle import Bundle
from serving.caller import Caller
from serving.feedback import FeedbackLog
from serving.online_store import EmbeddedStore
from serving.visits import REACH, Visits
from tests.serving.conftest import wait_until
from tests.serving.feedback.rows import DAY, NOW, NOW_US, event

REACH_US = REACH // timedelta(microseconds=1)
NOBODY = Caller("r", None, None, NOW)


@pytest.fixture
def log(tmp_path) -> Iterator[FeedbackLog]:
    log = FeedbackLog.open(None, default=tmp_path / "feedback.db")
    yield log
    log.close()


@contextmanager
def started(log, store, cut):
    visits = Visits(log, store, cut_at=lambda: cut[0])
    visits.start()
    try:
        yield visits
    finally:
        visits.stop()


def items(store, since_us=0) -> list[str]:
    return sorted(event.item_id for event in store.read(["u:u"], known_since_us=since_us).events)


def test_it_is_filled_from_a_day_before_the_cut_and_for_an_older_release_from_earlier(log):
    log.add(
        [
            event("e1", item_id="1 long ago", at_us=NOW_US - 3 * DAY),
            event("e2", item_id="2 just too early", at_us=NOW_US - REACH_US - 1),
            event("e3", item_id="3 landed late", at_us=NOW_US - REACH_US),
            event("e4", item_id="4 new", at_us=NOW_US),
        ]
    ).result(10)
    store, cut = EmbeddedStore(), [NOW]
    with started(log, store, cut):
        assert items(store) == ["3 landed late", "4 new"]
        cut[0] = NOW - timedelta(days=2)
        wait_until(lambda: len(items(store)) == 4)
        cut[0] = NOW + timedelta(days=2)  # a newer release needs nothing put in
        assert store.filled_since() == NOW_US - 2 * DAY - REACH_US


def test_before_the_first_release_there_is_nothing_to_fill_for(log):
    store, cut = EmbeddedStore(), [None]
    log.add([event("e1")]).result(10)
    with started(log, store, cut):
        assert store.filled_since() is None
        cut[0] = NOW
        wait_until(lambda: items(store) == ["i001"])


class FlakyStore(EmbeddedStore):
    """Loses what it is given while it is away."""

    away = False

    def append(self, events):
        if self.away:
            raise OnlineStoreError("away")
        super().append(events)

    def read(self, subjects, *, known_since_us, within=None):
        if self.away:
            raise OnlineStoreError("away")
        return super().read(subjects, known_since_us=known_since_us, within=within)


def test_what_the_store_missed_is_put_in_from_the_log_when_it_is_back(log, bundle: Bundle):
    store = FlakyStore()
    with started(log, store, [NOW]) as visits:
        assert visits.of(NOBODY, bundle).degraded == ()
        store.away = True
        missed = event("e1")
        log.add([missed]).result(10)
        assert visits.happened([missed]) == ("online_state",)
        assert visits.of(NOBODY, bundle).degraded == ("online_state",)
        store.away = False
        wait_until(lambda: visits.of(NOBODY, bundle).degraded == ())
        assert items(store) == ["i001"]


def test_while_the_log_cannot_be_read_lists_say_that_they_may_lack_something(log, bundle: Bundle):
    log.add([event("e1")]).result(10)
    with log.engine.begin() as connection:
        connection.exec_driver_sql("alter table interactions rename to hidden")
    store = EmbeddedStore()
    with started(log, store, [NOW]) as visits:
        assert visits.of(NOBODY, bundle).degraded == ("online_state",)
        with log.engine.begin() as connection:
            connection.exec_driver_sql("alter table hidden rename to interactions")
        wait_until(lambda: visits.of(NOBODY, bundle).degraded == ())
        assert items(store) == ["i001"]
