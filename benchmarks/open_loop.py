"""Load whose arrival times are fixed beforehand: a request that had to wait counts with its waiting. Runs in a process of its own.

    python -m benchmarks.open_loop plan.json results.jsonl

A pool of connections that stay open, as a shop's back end keeps it. Nothing is ever tried again: a request that did not get a whole answer
of 200 has failed.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
SECONDS_TO_ANSWER = 30.0
SECONDS_IDLE = 20.0
"""A connection that was idle for longer is not used again; servers keep theirs for longer than that."""


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
        at, end, starts = time.monotonic() + 1.0, time.monotonic() + 1.0 + seconds, []
        while (at := at + draws.expovariate(rate)) < end:
            starts.append(at)
        return cls(address, key, [paths[number % len(paths)] for number in range(len(starts))], starts)


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
    """Of the answer, or why there was none."""

    @property
    def answer(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class Load:
    """A plan being carried out by another process."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._results = folder / f"results-{time.monotonic_ns()}.jsonl"
        path = self._results.with_suffix(".plan")
        path.write_text(json.dumps(asdict(plan)))
        command = [sys.executable, "-m", "benchmarks.open_loop", str(path), str(self._results)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def results(self) -> list[Result]:
        """Once all is done."""
        assert self._process.wait() == 0
        return [Result(**json.loads(line)) for line in self._results.open()]


class _Pool:
    def __init__(self, address: str, key: str) -> None:
        split = urlsplit(address)
        self._host, self._port = split.hostname, split.port
        self._head = f"Host: {split.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
        self._idle: deque[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def get(self, path: str) -> tuple[int, str]:
        reader, writer = await self._connection()
        writer.write(f"GET {path} HTTP/1.1\r\n{self._head}".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        body = (await reader.readexactly(length)).decode()
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((time.monotonic(), reader, writer))
        return int(head.split(" ")[1]), body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:  # the one used last first
            since, reader, writer = self._idle.pop()
            if not reader.at_eof() and time.monotonic() - since < SECONDS_IDLE:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)


async def _asked(pool: _Pool, path: str, start: float) -> Result:
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            status, body = await pool.get(path)
    except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError) as error:
        status, body = 0, repr(error)
    return Result(path, start, time.monotonic() - start, status, body)


async def _carried_out(plan: Plan) -> list[Result]:
    pool, asked = _Pool(plan.address, plan.key), []
    for path, start in zip(plan.paths, plan.starts, strict=True):
        await asyncio.sleep(start - time.monotonic())
        asked.append(asyncio.create_task(_asked(pool, path, start)))
    return await asyncio.gather(*asked)


def main() -> None:
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    results = asyncio.run(_carried_out(plan))
    with Path(sys.argv[2]).open("w") as file:
        file.writelines(json.dumps(asdict(result)) + "\n" for result in results)


if __name__ == "__main__":
    main()
