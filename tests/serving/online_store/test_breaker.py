import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from ml.contract.errors import OnlineStoreError
from serving.online_store.breaker import FAILURES, Breaker


class AwayError(Exception):
    """The server does not answer."""


def failing() -> None:
    raise AwayError


def opened(seconds_open: float = 60) -> Breaker:
    breaker = Breaker(AwayError, seconds_open=seconds_open)
    for _ in range(FAILURES):
        with pytest.raises(AwayError):
            breaker.through(failing)
    return breaker


def test_after_failures_in_a_row_the_server_is_left_alone():
    breaker = opened()
    asked = []
    with pytest.raises(OnlineStoreError, match="too many failures just now"):
        breaker.through(lambda: asked.append(1))
    assert not asked
    assert not breaker.is_closed


def test_a_success_in_between_starts_the_count_anew():
    breaker = Breaker(AwayError)
    for _ in range(3 * FAILURES):
        for _ in range(FAILURES - 1):
            with pytest.raises(AwayError):
                breaker.through(failing)
        assert breaker.through(lambda: 7) == 7
    assert breaker.is_closed


def test_after_a_while_one_call_finds_out_and_the_others_do_not_wait_for_it():
    breaker = opened(seconds_open=0.05)
    time.sleep(0.1)
    asking, may_answer = Event(), Event()

    def slow() -> str:
        asking.set()
        assert may_answer.wait(10)
        return "back"

    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(breaker.through, slow)
        assert asking.wait(10)
        with pytest.raises(OnlineStoreError):
            breaker.through(lambda: "not asked")
        may_answer.set()
        assert trial.result(10) == "back"
    assert breaker.is_closed
    assert breaker.through(lambda: 7) == 7


def test_a_failed_trial_keeps_it_open():
    breaker = opened(seconds_open=0.05)
    time.sleep(0.1)
    with pytest.raises((AwayError, OnlineStoreError)):
        breaker.through(failing)
    with pytest.raises(OnlineStoreError):
        breaker.through(lambda: 7)


def test_calls_run_side_by_side_while_all_is_well():
    breaker, both = Breaker(AwayError), [Event(), Event()]

    def meet(mine: Event, other: Event) -> bool:
        mine.set()
        return other.wait(10)

    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(breaker.through, lambda a=a, b=b: meet(a, b))
            for a, b in ((both[0], both[1]), (both[1], both[0]))
        ]
        assert all(call.result(20) for call in calls)


def test_a_call_that_succeeds_while_others_fail_too_often_gives_its_answer():
    breaker = Breaker(AwayError, seconds_open=60)

    def answered_last() -> int:
        for _ in range(FAILURES):
            with pytest.raises(AwayError):
                breaker.through(failing)
        return 7

    assert breaker.through(answered_last) == 7
    assert not breaker.is_closed


def test_a_defect_is_not_a_failure_of_the_server():
    breaker = Breaker(AwayError)
    for _ in range(2 * FAILURES):
        with pytest.raises(KeyError):
            breaker.through(lambda: {}["no such key"])
    assert breaker.is_closed
