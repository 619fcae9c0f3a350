"""Workers replaced under load: failed requests, and the slowest beside those of undisturbed seconds.

    python -m benchmarks.rolling_restart .aisle

Two workers behind one port, with a Redis of their own (redis-server must be installed). First as many lists as they can make, asked one after the
other on several connections; then `--load` of that at arrival times fixed beforehand, and a SIGHUP in the middle. Claim: no request fails.
"""

import argparse
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.open_loop import Load, Plan
from benchmarks.served_home import Home, Running, percentile, service
from orchestration.showcase import free_port

CALLERS = 4
SECONDS_TO_CALIBRATE = 5.0
SECONDS_BEFORE = 5.0
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--load", type=float, default=0.8, help="share of what two workers can do")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load; the restart takes a part of it")
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
                time.sleep(0.1)
            end = time.monotonic()
            results = load.results()
    during = [each for each in results if begin <= each.start <= end]
    others = [each for each in results if not begin <= each.start <= end]
    failed = [each for each in results if each.status != 200]
    print(
        f"{len(results)} lists at {rate:.0f} a second, {chosen.load:.0%} of {most:.0f}; both workers replaced in {end - begin:.1f} s"
    )
    print(f"  failed {len(failed)}" + (f", the first: {failed[0].status} {failed[0].body[:200]}" if failed else ""))
    for name, some in (("undisturbed", others), ("while replacing", during)):
        print(
            f"  {name:<16} "
            + "   ".join(f"p{p:g} {percentile(some, p):6.2f} ms" for p in (50, 90, 99))
            + f"   of {len(some)}"
        )


def _most_per_second(home: Home, running: Running) -> float:
    """Lists of callers who wait for each before they ask for the next."""
    until = time.monotonic() + SECONDS_TO_CALIBRATE

    def ask(first: int) -> int:
        connection, number = HTTPConnection(running.address.removeprefix("http://"), timeout=30), 0
        while time.monotonic() < until:
            path = home.paths[(first + number * CALLERS) % len(home.paths)]
            connection.request("GET", path, headers={"Authorization": f"Bearer {running.key}"})
            answer = connection.getresponse()
            assert answer.status == 200, running.log.read_text()[-5000:]
            answer.read()
            number += 1
        connection.close()
        return number

    with ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(ask, range(CALLERS))) / SECONDS_TO_CALIBRATE


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    program, port = shutil.which("redis-server"), free_port()
    assert program, "redis-server must be installed. Received: none on the PATH. `apt-get install redis-server`."
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
