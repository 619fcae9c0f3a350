"""Workers replaced under load: failed requests, and the slowest beside those of undisturbed seconds.

    python -m benchmarks.rolling_restart .aisle

Two workers behind one port, with a Redis of their own (redis-server must be installed). First the rate is raised until a
list fails or one in a hundred is made of less. Then `--load` of the highest rate that was carried, at arrival times fixed
beforehand over a pool of connections that stay open, and a SIGHUP in the middle. A refusal counts as a failure. Claim: no request fails.
"""

import argparse
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load_process import Load, Plan, Result
from benchmarks.served_home import Home, Running, machine, percentile, service
from orchestration.showcase import free_port

FIRST_RATE = 40.0
STEP = 1.4
SECONDS_TO_CALIBRATE = 4.0
SECONDS_BEFORE = 5.0
WORKERS = 2
SECONDS_TO_REPLACE = 90.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--load", type=float, default=0.8, help="share of what two workers can do")
    parser.add_argument("--seconds", type=float, default=40.0, help="of load; the restart takes a part of it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aisle-restart-") as folder, _redis(Path(folder)) as redis_url:
        home = Home.of(chosen.home, Path(folder))
        with service(home, AISLE_WORKERS=str(WORKERS), AISLE_REDIS_URL=redis_url) as running:
            most = _most_per_second(home, running)
            rate = chosen.load * most
            plan = Plan.poisson(running.address, running.key, home.paths, rate=rate, seconds=chosen.seconds)
            load = Load(plan, home.folder)
            time.sleep(SECONDS_BEFORE)
            begin = time.monotonic()
            running.process.send_signal(signal.SIGHUP)
            while running.log.read_text().count("took the place of") < WORKERS:
                assert running.process.poll() is None, running.log.read_text()[-3000:]
                assert time.monotonic() < begin + SECONDS_TO_REPLACE, (
                    f"Both workers must be replaced within {SECONDS_TO_REPLACE:g} s. Received: less; {machine()}. Others left a worker that "
                    "begins at a lower priority too little. Measure on a quieter machine."
                )
                time.sleep(0.1)
            end = time.monotonic()
            results = load.results()
    _tell(results, begin, end, f"{rate:.0f} a second, {chosen.load:.0%} of {most:.0f}")


def _tell(results: Sequence[Result], begin: float, end: float, load: str) -> None:
    failed = [each for each in results if each.status != 200]
    print(f"{len(results)} lists at {load}; both workers replaced in {end - begin:.1f} s")
    print(
        f"  failed {len(failed)} (bar 0)"
        + (f", the first: {failed[0].status} {failed[0].body[:200]}" if failed else "")
    )
    during = [each for each in results if begin <= each.start <= end]
    others = [each for each in results if not begin <= each.start <= end]
    for name, some in (("undisturbed", others), ("while replacing", during)):
        shown = "   ".join(f"p{p:g} {percentile(some, p):6.2f} ms" for p in (50, 90, 99))
        failures, less = sum(each.status != 200 for each in some), sum(map(_is_made_of_less, some))
        print(f"  {name:<16} {shown}   of {len(some)}, {failures} failed, {less} made of less")
    print(f"  ratio of p99: {percentile(during, 99) / percentile(others, 99):.2f}. {machine()}")


def _most_per_second(home: Home, running: Running) -> float:
    """The highest rate of independent arrivals that is carried; each gets a second chance."""
    carried, rate = 0.0, FIRST_RATE
    while any(_is_carried(home, running, rate) for _ in range(2)):
        carried, rate = rate, rate * STEP
    assert carried, f"{FIRST_RATE:g} lists a second must be carried. {running.log.read_text()[-3000:]}"
    return carried


def _is_carried(home: Home, running: Running, rate: float) -> bool:
    plan = Plan.poisson(running.address, running.key, home.paths, rate=rate, seconds=SECONDS_TO_CALIBRATE)
    results = Load(plan, home.folder).results()
    return all(each.status == 200 for each in results) and sum(map(_is_made_of_less, results)) <= len(results) / 100


def _is_made_of_less(result: Result) -> bool:
    return result.status == 200 and bool(result.answer["degraded"])


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    program, port = shutil.which("redis-server"), free_port()
    assert program, "redis-server must be installed. Received: none on the PATH. `apt-get install redis-server`."
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
