"""Starting several programs and leaving none behind, whatever they do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT_WITH_CHILD = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print('pids', __import__('os').getpid(), child.pid); sys.stdout.flush(); time.sleep(600)"
)
DEAF = (
    "import os, signal, time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; "
    "print('pids', os.getpid(), flush=True); time.sleep(600)"
)
SHORT = "import time; time.sleep(0.5); raise SystemExit(3)"

SUPERVISE = """
import sys
from orchestration import supervisor
from orchestration.terminal import Terminal
supervisor.PATIENCE_SECONDS = 1.0
programs = [supervisor.Program(f"p{row}", [sys.executable, "-c", code], {}) for row, code in enumerate(sys.argv[1:])]
sys.exit(supervisor.supervise(programs, say=Terminal(sys.stdout).say))
"""


class Supervised:
    """A supervisor in a process of its own, and the pids its programs printed."""

    def __init__(self, *codes: str, ignore_sigint: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, *codes],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignore_sigint else None,
        )
        self.lines: list[str] = []

    def pids(self, count: int) -> list[int]:
        """Wait until the programs have named so many."""
        found: list[int] = []
        assert self.process.stdout is not None
        while len(found) < count:
            self.lines.append(self.process.stdout.readline())
            found += [int(pid) for pid in self.lines[-1].split("pids")[-1].split()] if "pids" in self.lines[-1] else []
        return found

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=30)
        self.lines += rest.splitlines()
        return self.process.returncode


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def none_alive(pids: list[int]) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(map(is_alive, pids)):
        time.sleep(0.05)
    return not any(map(is_alive, pids))


@pytest.fixture(autouse=True)
def _only_where_proc_is() -> None:
    if not Path("/proc").is_dir():
        pytest.skip("looks for processes in /proc")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_stops_every_program_and_what_they_started(number: signal.Signals) -> None:
    supervised = Supervised(PARENT_WITH_CHILD, PARENT_WITH_CHILD)
    pids = supervised.pids(4)
    supervised.process.send_signal(number)
    assert supervised.end() == 0
    assert none_alive(pids)


def test_a_program_that_ends_ends_the_others() -> None:
    supervised = Supervised(PARENT_WITH_CHILD, SHORT)
    pids = supervised.pids(2)
    assert supervised.end() == 1
    assert none_alive(pids)
    assert "p1 ended with code 3. Stopping the others." in supervised.lines


def test_a_program_deaf_to_signals_is_killed() -> None:
    supervised = Supervised(DEAF)
    pids = supervised.pids(1)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end() == 0
    assert none_alive(pids)


def test_started_in_the_background_of_a_script_it_can_still_be_stopped() -> None:
    """A shell starts background jobs with SIGINT ignored, and programs inherit that."""
    supervised = Supervised(PARENT_WITH_CHILD, ignore_sigint=True)
    pids = supervised.pids(2)
    started = time.monotonic()
    supervised.process.send_signal(signal.SIGINT)
    assert supervised.end() == 0
    assert time.monotonic() - started < 1, "the first, gentle signal was heard"
    assert none_alive(pids)


def test_lines_carry_the_name_of_their_program() -> None:
    supervised = Supervised(PARENT_WITH_CHILD)
    supervised.pids(2)
    assert supervised.lines[0].startswith("p0 | pids")
    supervised.process.send_signal(signal.SIGTERM)
    supervised.end()
