"""The service beside the plain design, on one core each: `python -m benchmarks.serving [compare parts start overload sizes ten-million]`

Both answer the same users of the same shop from the same towers, items and ranker; `benchmarks/serving/plain.py` says what the plain design
leaves out. The server has the first core to itself, the load comes from the second. Aisle runs as it is delivered: keys, rules, feedback
log and metrics on; only the rate limit of one key is raised, because here one key is the whole shop.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.open_loop import Answers, offered, poisson
from benchmarks.serving import parts as parts_of
from benchmarks.serving.environment import service_python
from benchmarks.serving.process import Server, serving
from benchmarks.serving.shop import ServedShop
from ml.runtime.enrich import FEATURES

ROOT = Path(__file__).parents[2]
SERVER_CORE, LOAD_CORE = 0, 1
SMALL, LARGE = 200_000, 1_000_000
KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}  # TFRS imports with no other
LIMIT, SLOWEST_MS = 12, 50.0
USERS, SECONDS = 2_000, 8.0
LATENCY_SECONDS = 60.0
"""At `LOW_RATE` some 500 requests: p99 is then no longer the slowest two."""
LOW_RATE = 8.0
"""Requests a second that even a busy machine answers one by one."""
MODERATE_RATE, TURNS = 25.0, 8
PEAK_FROM = 40.0
"""Where the search for the peak begins."""


@dataclass(frozen=True)
class Design:
    """One way to serve a shop."""

    name: str
    arguments: tuple[str, ...]
    path: str
    python: str = sys.executable

    @contextmanager
    def answering(self, shop: ServedShop) -> Iterator[tuple[Server, list[bytes]]]:
        """A server and what to ask it."""
        environment = {
            "AISLE_HOME": str(shop.home),
            "AISLE_RATE_PER_SECOND": "1000000",
            "AISLE_RATE_BURST": "1000000",
            "AISLE_LOG_LEVEL": "error",
            "PLAIN_SAVED_MODEL": str(shop.folder / "plain" / "saved_model"),
            **KERAS_2,
        }
        with serving(
            list(self.arguments), core=SERVER_CORE, probe="/readyz", environment=environment, python=self.python
        ) as server:
            requests = [self._request(user_id, shop) for user_id in shop.user_ids(USERS, seed=1)]
            offered(server.port, requests, poisson(LOW_RATE, 4, seed=0))  # warm
            yield server, requests

    def _request(self, user_id: str, shop: ServedShop) -> bytes:
        key = shop.home / "development_api_key"
        authorization = f"Authorization: Bearer {key.read_text().strip()}\r\n" if key.exists() else ""
        return f"GET {self.path}?user_id={user_id}&limit={LIMIT} HTTP/1.1\r\nHost: shop\r\n{authorization}\r\n".encode()


AISLE = Design("Aisle", ("-m", "serving"), "/api/v1/recommendations/homepage")
PLAIN = Design("plain design", ("-m", "benchmarks.serving.plain"), "/recommendations/homepage")


@dataclass(frozen=True)
class Figures:
    """Of one design."""

    latencies_ms: Mapping[str, float]
    """By what the table calls them."""
    cpu_ms: float
    """Of the server for a request, while it is busy."""
    sustained: float
    """Requests a second at which p99 is below 50 ms and no answer is missing, refused or degraded."""
    rss_mb: float
    ready_s: float


def figures_of(design: Design, shop: ServedShop) -> Figures:
    with design.answering(shop) as (server, requests):
        latencies: dict[str, float] = {}
        for rate in (LOW_RATE, MODERATE_RATE):
            answers = offered(server.port, requests, poisson(rate, LATENCY_SECONDS, seed=1), keep=1)
            require_whole(answers, design)
            p50, p99 = answers.quantiles_ms(0.5, 0.99)
            latencies |= {f"p50 at {rate:.0f} requests/s, ms": p50, f"p99 at {rate:.0f} requests/s, ms": p99}
        sustained, cpu_ms = sustained_rate(server, requests)
        return Figures(latencies, cpu_ms, sustained, server.rss_mb, server.ready_after_s)


def require_whole(answers: Answers, design: Design) -> None:
    """The first answer is a full list: nobody is fast by saying nothing."""
    said = json.loads(answers.bodies[0])
    if len(said["recommendations"]) != LIMIT:
        raise SystemExit(f"{design.name}: expected {LIMIT} recommendations. Received: {said}")


def sustained_rate(server: Server, requests: list[bytes]) -> tuple[float, float]:
    """The highest rate that is kept up, found by doubling and halving; and the CPU milliseconds of a request at it."""
    kept, cpu_ms, rate, step = 0.0, float("nan"), 8.0, 2.0
    while step > 1.06:
        before = server.cpu_seconds
        answers = offered(server.port, requests, poisson(rate, SECONDS, seed=2), keep=len(requests))
        spent = (server.cpu_seconds - before) / len(answers.status) * 1e3
        told = f"{rate:.0f}/s: p99 {answers.quantiles_ms(0.99)[0]:.1f} ms, {answers.ok.mean():.1%} lists, CPU {spent:.2f} ms"
        print(told, file=sys.stderr, flush=True)
        if is_kept_up(answers):
            kept, cpu_ms = rate, spent
            rate *= step
        else:
            rate, step = (kept or rate / 4) * step**0.5, step**0.5
            time.sleep(1)  # whatever waits is answered before the next attempt
        if not kept and rate < 1:
            return 0.0, spent
    return kept, cpu_ms


def is_kept_up(answers: Answers) -> bool:
    if not answers.ok.all() or answers.quantiles_ms(0.99)[0] >= SLOWEST_MS:
        return False
    degraded = sum(b'"degraded":[]' not in body for body in answers.bodies.values() if b'"degraded"' in body)
    return degraded <= len(answers.status) / 100


def compare(folder: Path) -> None:
    """Latency, rate, CPU and memory of both at 200 thousand items."""
    shop = made(folder, SMALL, plain=True)
    plain, aisle = figures_of(PLAIN, shop), figures_of(AISLE, shop)
    table(
        [f"200 k items, 500 candidates, {len(FEATURES)} features", "plain design", "Aisle", "ratio"],
        [
            *(
                [name, theirs, aisle.latencies_ms[name], theirs / aisle.latencies_ms[name]]
                for name, theirs in plain.latencies_ms.items()
            ),
            [
                "sustained requests/s, p99 < 50 ms",
                plain.sustained,
                aisle.sustained,
                aisle.sustained / plain.sustained if plain.sustained else float("nan"),
            ],
            ["CPU ms a request", plain.cpu_ms, aisle.cpu_ms, plain.cpu_ms / aisle.cpu_ms],
            ["resident MB", plain.rss_mb, aisle.rss_mb, plain.rss_mb / aisle.rss_mb],
            ["start to ready, s", plain.ready_s, aisle.ready_s, plain.ready_s / aisle.ready_s],
        ],
    )


def parts(folder: Path) -> None:
    """CPU of a list by stage and by kind, and of a whole request without its socket; how many candidates there are."""
    shop = made(folder, SMALL)
    os.environ["AISLE_HOME"] = str(shop.home)
    bundle = parts_of.opened(shop.home)
    table(["stage of a homepage's list", "CPU us, mean", "median"], parts_of.stages_of(bundle))
    table(["list", "CPU us, mean", "median", "p99"], parts_of.surfaces_of(bundle))
    print(f"whole request, without a socket: {parts_of.request_of(shop.user_ids(USERS, seed=1)):.2f} CPU ms")


def start(folder: Path) -> None:
    """Process start to the first 200 of `/readyz`, modules imported, memory; the best of three, since others use the machine too."""
    shop = made(folder, SMALL, plain=True)
    deployed = replace(AISLE, name="Aisle, requirements/serve.txt alone", python=service_python(folder))
    rows = []
    for design, module in ((PLAIN, "benchmarks.serving.plain"), (AISLE, "serving.app"), (deployed, "serving.app")):
        best = min((_started(design, shop) for _ in range(3)), key=lambda figures: figures[0])
        count = f"import sys, {module}; print(len(sys.modules))"
        told = subprocess.run(
            [design.python, "-c", count], env=os.environ | KERAS_2, stdout=subprocess.PIPE, check=True
        )
        modules = int(told.stdout)
        rows.append([design.name, *best, modules])
    table(["start at 200 k items", "ready, s", "CPU s", "resident MB", "of it no file's, MB", "modules"], rows)


def _started(design: Design, shop: ServedShop) -> tuple[float, float, float, float]:
    with design.answering(shop) as (server, _):
        return server.ready_after_s, server.cpu_at_ready_s, server.rss_mb, server.private_mb


def overload(folder: Path) -> None:
    """Three times as many requests as can be answered in full: how many still are answered, how, and how fast."""
    shop = made(folder, SMALL)
    with AISLE.answering(shop) as (server, requests):
        at_peak = peak_of(server, requests)
        rate = 3 * at_peak.lists_per_second
        instants = poisson(rate, 2 * SECONDS, seed=4)
        above = offered(server.port, requests, instants, connections=512, keep=len(instants))
    refused = above.seconds[above.status == 503]
    rows = [
        [name, answers.lists_per_second, whole_share(answers) * 100, *answers.quantiles_ms(0.5, 0.99)]
        for name, answers in (("peak", at_peak), ("three times that", above))
    ]
    table(["offered", "lists/s", "whole, % of what was asked", "p50 ms", "p99 ms"], rows)
    other = int((above.status != 200).sum() - len(refused))
    median = sorted(refused)[len(refused) // 2] * 1e3 if len(refused) else 0.0
    print(
        f"refused with 503: {len(refused)}, half of them within {median:.2f} ms; answered otherwise or not at all: {other}"
    )
    print(f"goodput {rows[1][1] / rows[0][1]:.2f} of peak, p99 {rows[1][4] / rows[0][4]:.2f} of peak's")


def peak_of(server: Server, requests: list[bytes]) -> Answers:
    """Of rates that rise until four in ten are refused or made of less, twice: the one with the most whole lists a second."""
    rate, tried = PEAK_FROM, [_asked_at(PEAK_FROM, server, requests)]
    while max(map(whole_share, tried[-2:])) > 0.6:
        rate *= 1.4
        tried.append(_asked_at(rate, server, requests))
    return max(tried, key=lambda answers: whole_share(answers) * len(answers.status))


def _asked_at(rate: float, server: Server, requests: list[bytes]) -> Answers:
    instants = poisson(rate, SECONDS, seed=3)
    return offered(server.port, requests, instants, keep=len(instants))


def whole_share(answers: Answers) -> float:
    """Of what was asked: lists from which nothing was left out. All bodies must have been kept."""
    return sum(b'"degraded":[]' in body for body in answers.bodies.values()) / len(answers.status)


def sizes(folder: Path) -> None:
    """A list over HTTP at one million items beside 200 thousand: both servers are asked in turns, so that what else the machine does is shared."""
    small = ServedShop(SMALL, folder / str(SMALL))
    large = ServedShop(LARGE, folder / str(LARGE))
    large.make(ranker=small.make())
    with AISLE.answering(small) as one, AISLE.answering(large) as other:
        figures = [_Size(SMALL, *one), _Size(LARGE, *other)]
        for turn in range(TURNS):
            for size in figures:
                size.ask(seed=turn)
        rows = [size.row() for size in figures]
    rows.append(["ratio", *(large / small for small, large in zip(rows[0][1:], rows[1][1:], strict=True))])
    table(["Aisle", "p50 ms", "p99 ms", "CPU ms", "resident MB", "ready, s"], rows)
    growth = (rows[1][4] - rows[0][4]) / (LARGE - SMALL) * 1e6
    print(f"resident MB for each million items more: {growth:.0f}")


@dataclass
class _Size:
    """What one server of `sizes` was asked and answered."""

    items: int
    server: Server
    requests: list[bytes]
    seconds: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def ask(self, *, seed: int) -> None:
        before = self.server.cpu_seconds
        answers = offered(self.server.port, self.requests, poisson(MODERATE_RATE, SECONDS, seed=seed))
        self.cpu_s += self.server.cpu_seconds - before
        self.seconds += answers.seconds[answers.ok].tolist()

    def row(self) -> list[object]:
        p50, p99 = (np.quantile(self.seconds, [0.5, 0.99]) * 1e3).tolist()
        cpu_ms = self.cpu_s / len(self.seconds) * 1e3
        return [f"{self.items:,} items", p50, p99, cpu_ms, self.server.rss_mb, self.server.ready_after_s]


def made(folder: Path, size: int, *, plain: bool = False) -> ServedShop:
    """The shop of a size, from an earlier run or made now."""
    shop = ServedShop(size, folder / str(size))
    shop.make()
    if plain and not (shop.folder / "plain" / "saved_model" / "saved_model.pb").exists():
        command = [sys.executable, "-m", "benchmarks.serving.plain_model", str(shop.folder)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return shop


def table(head: list[str], rows: list[list[object]]) -> None:
    cells = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    print("\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *cells]), flush=True)


def ten_million(folder: Path) -> None:
    """An index over ten million vectors, built in parts and searched in a process of its own; memory and seconds of each."""
    from benchmarks.serving.ten_million import main as build_and_search

    build_and_search(folder / "ten-million")


SECTIONS: dict[str, Callable[[Path], None]] = {
    "compare": compare,
    "parts": parts,
    "start": start,
    "overload": overload,
    "sizes": sizes,
    "ten-million": ten_million,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all but ten-million when none is named")
    parser.add_argument("--folder", type=Path, default=ROOT / ".aisle-serving", help="keeps the shops between runs")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    for name in arguments.sections or [name for name in SECTIONS if name != "ten-million"]:
        print(f"\n## {name}: {SECTIONS[name].__doc__}\n", flush=True)
        SECTIONS[name](arguments.folder.absolute())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"\n{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}; load average at the end: {load}."
    )


if __name__ == "__main__":
    main()
