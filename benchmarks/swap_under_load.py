"""Releases swapped under load: failures, answers that mix two releases, and the slowest lists beside those of undisturbed seconds.

    python -m benchmarks.swap_under_load .aisle
    python -m benchmarks.swap_under_load .aisle --naive

Asks the live release of a home (`make demo` makes one) and a second one made of it, at arrival times fixed beforehand. Each swap is a rollback
to the release before: the pointer moves, the service opens, verifies, warms and asks what it must, and then answers from it. Each answer is
compared with what `recommend` says offline for the release it names (a list made without a part cannot be, and is counted). Claim: no failure, no mixed answer, p99 while swapping at most 1.2 times
that of undisturbed seconds, every rollback answered from within 5 s. `--naive` is the plain way beside it: the event loop opens the new
bundle and puts it in place.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load_process import Load, Plan, Result
from benchmarks.served_home import Home, Running, machine, percentile, service

NAIVE = ("-m", "benchmarks.naive_reload")
SECONDS_TO_SETTLE = 3.0
"""Between swaps; undisturbed seconds are these, so that whatever else the machine does meets both alike."""
SECONDS_AFTER = 0.5
"""In which the old bundle's memory is given back; part of a swap."""
SECONDS_EACH = 6.0
"""From one swap to the next, at most; what is left at the end is undisturbed."""
PROBE_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--rate", type=float, default=100.0, help="lists a second")
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--naive", action="store_true", help="reload in the event loop")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aisle-swap-") as folder:
        home = Home.of(chosen.home, Path(folder))
        with service(home, command=NAIVE if chosen.naive else ("-m", "serving")) as running:
            _loaded(home, running, rate=chosen.rate, seconds=5)  # caches and branches of both sides
            load = _load(home, running, rate=chosen.rate, seconds=chosen.swaps * SECONDS_EACH)
            windows = [_swapped(home, running) for _ in range(chosen.swaps)]
            results = load.results()
    swapping = [each for each in results if any(begin <= each.start <= end + SECONDS_AFTER for begin, end in windows)]
    others = {id(each) for each in swapping}
    _tell(home, [each for each in results if id(each) not in others], swapping, windows)


def _load(home: Home, running: Running, *, rate: float, seconds: float) -> Load:
    plan = Plan.poisson(running.address, running.key, home.paths, rate=rate, seconds=seconds)
    return Load(plan, home.folder)


def _loaded(home: Home, running: Running, *, rate: float, seconds: float) -> list[Result]:
    return _load(home, running, rate=rate, seconds=seconds).results()


def _swapped(home: Home, running: Running) -> tuple[float, float]:
    """When the pointer moved, and when the service first said that it answers from that release."""
    time.sleep(SECONDS_TO_SETTLE)
    begin = time.monotonic()
    version = home.swap()
    moved = time.monotonic()
    while (running.ready() or {}).get("bundle_version") != version:
        assert time.monotonic() < moved + 60, running.log.read_text()[-3000:]
        time.sleep(PROBE_SECONDS)
    return begin, time.monotonic()


def _tell(
    home: Home,
    steady: Sequence[Result],
    swapping: Sequence[Result],
    windows: Sequence[tuple[float, float]],
) -> None:
    everything = [*steady, *swapping]
    answered = [each for each in everything if each.status == 200]
    whole = [each for each in answered if not each.answer["degraded"]]
    mixed = sum(home.is_mixed(each) for each in whole)
    versions = {each.answer["bundle_version"] for each in answered}
    took = sorted(end - begin for begin, end in windows)
    print(
        f"{len(everything)} lists, {len(windows)} swaps between {len(versions)} releases of {len(home.bundles[0].items)} items"
    )
    print(
        f"  failed {len(everything) - len(answered)} (bar 0)   mixed {mixed} of {len(whole)} (bar 0)   degraded {len(answered) - len(whole)}"
    )
    print(f"  from rollback to answer: median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s (bar 5)")
    for name, some in (("undisturbed", steady), ("while swapping", swapping)):
        shown = "   ".join(f"p{p:g} {percentile(some, p):6.2f} ms" for p in (50, 90, 99))
        print(f"  {name:<15} {shown}   of {len(some)}, {sum(each.status != 200 for each in some)} failed")
    print(f"  ratio of p99: {percentile(swapping, 99) / percentile(steady, 99):.2f} (bar 1.2). {machine()}")


if __name__ == "__main__":
    main()
