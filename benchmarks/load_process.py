"""A plan of requests carried out by a process of its own, while the one that made the plan does something to the server.

    python -m benchmarks.load_process plan.json results.jsonl

Nothing is ever tried again: a request that did not get a whole answer of 200 has failed.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from benchmarks.open_loop import offered

ROOT = Path(__file__).parents[1]
CONNECTIONS = 16
SECONDS_TO_BEGIN = 3.0
"""For the process to start on a busy machine: a request it sends late would count as a slow one."""


@dataclass(frozen=True)
class Plan:
    """What is asked, and when."""

    address: str
    key: str
    paths: Sequence[str]
    starts: Sequence[float]
    """On the machine's monotonic clock, one for each path."""

    @classmethod
    def poisson(
        cls, address: str, key: str, paths: Sequence[str], *, rate: float, seconds: float, seed: int = 7
    ) -> Self:
        """Arrivals independent of each other, `rate` a second, the paths in turn."""
        draws = random.Random(seed)
        begin = time.monotonic() + SECONDS_TO_BEGIN
        at, end, starts = begin, begin + seconds, []
        while (at := at + draws.expovariate(rate)) < end:
            starts.append(at)
        return cls(address, key, [paths[number % len(paths)] for number in range(len(starts))], starts)

    def carried_out(self) -> "list[Result]":
        split, count = urlsplit(self.address), len(self.paths)
        head = f"Host: {split.netloc}\r\nAuthorization: Bearer {self.key}\r\n\r\n"
        requests = [f"GET {path} HTTP/1.1\r\n{head}".encode() for path in self.paths]
        assert split.port is not None
        starts = np.array(self.starts)
        answers = offered(split.port, requests, starts, begun=0.0, connections=CONNECTIONS, keep=count)
        waited = time.monotonic() - starts  # of those that got no answer: until now
        seconds = np.where(np.isnan(answers.seconds), waited, answers.seconds).tolist()
        bodies = [answers.bodies.get(number, b"").decode() for number in range(count)]
        found = zip(self.paths, self.starts, seconds, answers.status.tolist(), bodies, strict=True)
        return [Result(*each) for each in found]


@dataclass(frozen=True)
class Result:
    """One request."""

    path: str
    start: float
    """When it was to be sent."""
    seconds: float
    """From then on, until the last byte of its answer."""
    status: int
    """0: there was no whole answer."""
    body: str

    @property
    def answer(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class Load:
    """A plan being carried out."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._results = folder / f"results-{time.monotonic_ns()}.jsonl"
        path = self._results.with_suffix(".plan")
        path.write_text(json.dumps(asdict(plan)))
        command = [sys.executable, "-m", "benchmarks.load_process", str(path), str(self._results)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def results(self) -> list[Result]:
        """Once all is done."""
        assert self._process.wait() == 0
        return [Result(**json.loads(line)) for line in self._results.read_text().splitlines()]


def main() -> None:
    results = Plan(**json.loads(Path(sys.argv[1]).read_text())).carried_out()
    with Path(sys.argv[2]).open("w") as file:
        file.writelines(json.dumps(asdict(result)) + "\n" for result in results)


if __name__ == "__main__":
    main()
