"""Several programs in one terminal: their lines prefixed with their names, and all of them stopped when one is or when asked to."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

PATIENCE_SECONDS = 15.0
"""Dagster takes three seconds to end its code server and daemon; after this nobody is asked any more."""


@dataclass(frozen=True)
class Program:
    """One thing to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None = None
    """Where it works; this process's own when None."""


def supervise(programs: Sequence[Program], *, say: Callable[[str], None]) -> int:
    """Run the programs until one ends, or until SIGINT or SIGTERM; then stop all of them and everything they started.

    Returns:
        0 when asked to stop, else 1: a program ended by itself.
    """
    asked_to_stop = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        asked_to_stop.set()

    # Also resets, in the programs, a SIGINT this process inherited as ignored: with that, `dagster dev` could not be stopped.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    running: dict[str, subprocess.Popen[str]] = {}
    width = max(len(program.name) for program in programs)
    try:
        for program in programs:
            running[program.name] = _start(program, say=say, width=width)
        while not asked_to_stop.wait(0.2):
            for name, process in running.items():
                if process.poll() is not None:
                    say(f"{name} ended with code {process.returncode}. Stopping the others.")
                    return 1
        say("Stopping.")
        return 0
    finally:
        _stop_all(list(running.values()))
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(program: Program, *, say: Callable[[str], None], width: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        program.command,
        cwd=program.folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A group of its own: whatever it starts is stopped with it, and Ctrl-C reaches it through us alone, once.
        start_new_session=True,
    )
    assert process.stdout is not None
    prefix = f"{program.name:<{width}} | "
    threading.Thread(target=_repeat, args=(process.stdout, prefix, say), daemon=True).start()
    return process


def _repeat(lines: IO[str], prefix: str, say: Callable[[str], None]) -> None:
    for line in lines:
        say(prefix + line.rstrip())


def _stop_all(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Ask by SIGINT, then by SIGTERM, then kill; the kill goes to every group, for what a program left behind."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for number, until in ((signal.SIGINT, deadline), (signal.SIGTERM, deadline + 5)):
        for process in processes:
            if process.poll() is None:
                _send(process, number)
        while any(process.poll() is None for process in processes) and time.monotonic() < until:
            time.sleep(0.1)
    for process in processes:
        _send(process, signal.SIGKILL)
        process.wait()


def _send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
