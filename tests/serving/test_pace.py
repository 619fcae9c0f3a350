"""Opening a release is slow on purpose while lists are made, and stops when the service does."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, get_native_id

import pytest

from ml.contract.errors import ReleaseError
from ml.contract.manifest import file_entry
from serving import pace
from serving.pace import RESTS, Hashes, Pace, behind_others


class Clock:
    """Time that passes by work and by waiting alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self.is_stopping = False

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.is_stopping

    def is_set(self) -> bool:
        return self.is_stopping


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "perf_counter", lambda: clock.now)
    return clock


def test_a_rest_is_so_many_times_the_work_since_the_last_one(clock: Clock) -> None:
    paced = Pace(clock)  # type: ignore[arg-type]
    paced.begin(hurry=False)
    for work in (0.010, 0.002):
        clock.now += work
        paced.rest()
    assert clock.waits == pytest.approx([0.010 * RESTS, 0.002 * RESTS])


def test_pieces_too_small_to_rest_after_add_up(clock: Clock) -> None:
    paced = Pace(clock)  # type: ignore[arg-type]
    paced.begin(hurry=False)
    for _ in range(4):
        clock.now += 0.0005
        paced.rest()
    assert clock.waits == pytest.approx([2 * 0.0005 * RESTS, 2 * 0.0005 * RESTS])


def test_while_nobody_is_served_there_is_no_rest(clock: Clock) -> None:
    paced = Pace(clock)  # type: ignore[arg-type]
    paced.begin(hurry=True)
    clock.now += 1
    paced.rest()
    assert clock.waits == []


def test_work_that_never_asks_for_a_rest_has_one_at_its_calls(clock: Clock) -> None:
    def called() -> None:
        clock.now += 0.001

    paced = Pace(clock)  # type: ignore[arg-type]
    paced.begin(hurry=False)
    with paced.at_every_call():
        for _ in range(10):
            called()
    rests = len(clock.waits)
    assert rests == 10, "one after each of them"
    for _ in range(10):
        called()
    assert len(clock.waits) == rests, "and none any more"


def test_of_one_thread_only_and_never_while_nobody_is_served(clock: Clock) -> None:
    def called() -> None:
        clock.now += 1

    paced = Pace(clock)  # type: ignore[arg-type]
    paced.begin(hurry=False)
    with paced.at_every_call(), ThreadPoolExecutor(1) as pool:
        clock.waits.clear()
        inside = pool.submit(lambda: (called(), sys.getprofile()))
        assert inside.result(10)[1] is None
    paced.begin(hurry=True)
    clock.waits.clear()
    with paced.at_every_call():
        called()
    assert clock.waits == []


def test_told_to_stop_it_rests_no_more_and_breaks_nothing_off_between_two_calls() -> None:
    stopping = Event()
    stopping.set()
    paced = Pace(stopping)
    paced.begin(hurry=False)
    with paced.at_every_call():
        assert sorted([2, 1], key=lambda number: number) == [1, 2]
        with pytest.raises(ReleaseError):
            paced.rest()


@pytest.mark.parametrize("hurry", [True, False])
def test_it_is_given_up_when_the_service_stops(clock: Clock, hurry: bool) -> None:
    paced = Pace(clock)  # type: ignore[arg-type]
    paced.begin(hurry=hurry)
    clock.now += 1
    clock.is_stopping = True
    with pytest.raises(ReleaseError, match="told to stop"):
        paced.rest()


def test_a_file_is_read_again_only_when_somebody_touched_it(tmp_path: Path) -> None:
    rests: list[None] = []
    hashes, path = Hashes(lambda: rests.append(None)), tmp_path / "vectors.npy"
    path.write_bytes(b"a" * (3 << 20))
    assert hashes.entry_of(path) == hashes.entry_of(path) == file_entry(path)
    assert len(rests) == 3 * 4, "a rest for each quarter of a megabyte, once"
    status = path.stat()
    path.write_bytes(b"b" * (3 << 20))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # a copy that keeps times is found out all the same
    assert hashes.entry_of(path) == file_entry(path)
    assert len(rests) == 6 * 4
    hashes.forget()
    hashes.entry_of(path)
    assert len(rests) == 9 * 4


def test_a_real_wait_ends_at_once_when_the_service_stops() -> None:
    stopping = Event()
    stopping.set()
    with pytest.raises(ReleaseError):
        Pace(stopping).rest()


def test_work_that_nobody_waits_for_has_a_lower_priority_and_leaves_the_caller_theirs():
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, get_native_id())

    before = priority()
    assert behind_others(priority) == max(before, 5)
    assert priority() == before
    with pytest.raises(ZeroDivisionError):
        behind_others(lambda: 1 / 0)
