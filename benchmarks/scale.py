"""How each station grows: three shops, each ten times the one before, through the asset graph and the service.

    python -m benchmarks.scale --largest 10000000 --folder .aisle-scale

Every station runs in a process of its own. What it cost is kept beside the shop, so a stopped run goes on where it was; delete the folder to
measure anew. Claim: no station's CPU time grows faster than size ** 1.15 over the last factor of ten. docs/scale.md holds the table, written
from here.
"""

import argparse
import itertools
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.scale_shop import DAYS, ScaleShop
from benchmarks.scale_station import ASSETS, FUNCTIONS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
PLAN = ROOT / "docs" / "capacity.md"
STATIONS = (*ASSETS, *FUNCTIONS)
TARGET = 1.15
ITEMS_SHARE = 10
"""One item per so many interactions."""
NOTICEABLE_S = 10.0
"""Below so many CPU seconds at the largest size an exponent is noise: it is printed, and not judged."""

Costs = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=10_000_000, help="interactions of the largest shop")
    parser.add_argument("--folder", type=Path, default=ROOT / ".aisle-scale")
    parser.add_argument("--only", nargs="*", choices=STATIONS, help="stations to measure; the others as they were kept")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/scale.md and docs/capacity.md")
    arguments = parser.parse_args()
    sizes = [arguments.largest // 100, arguments.largest // 10, arguments.largest]
    wanted = arguments.only or STATIONS
    measured = {size: costs_of(size, arguments.folder.absolute() / str(size), wanted) for size in sizes}
    table = as_table(measured)
    print(table)
    if arguments.write:
        PAGE.write_text(renewed(PAGE.read_text(), table, mark="measured"))
        plan = renewed(PLAN.read_text(), as_units(measured), mark="units")
        PLAN.write_text(renewed(plan, as_service(measured), mark="service"))
    if too_fast := [station for station in STATIONS if not holds(station, measured)]:
        raise SystemExit(f"Grows faster than size ** {TARGET}: {', '.join(too_fast)}")


def costs_of(size: int, folder: Path, wanted: tuple[str, ...]) -> Costs:
    """What each station cost, from where it was kept or by running it."""
    shop = ScaleShop(num_interactions=size, num_items=size // ITEMS_SHARE)
    mapping = folder / "mapping.yaml"
    if not mapping.exists():
        shop.write(folder)
    costs: Costs = {}
    for station in STATIONS:
        kept = folder / f"{station}.json"
        if station in wanted and not kept.exists():
            kept.write_text(json.dumps(run_station(station, home=folder / "home", mapping=mapping)))
        if kept.exists():
            costs[station] = json.loads(kept.read_text())
            print(f"{size:>11,} {station:18} {told(costs[station])}", flush=True)
    return costs


def run_station(station: str, *, home: Path, mapping: Path) -> dict[str, Any]:
    started = time.strftime("%H:%M:%S")
    environment = {
        **os.environ,
        "AISLE_HOME": str(home),
        "AISLE_SOURCE": "files",
        "AISLE_MAPPING": str(mapping),
        "AISLE_RECIPE": str(ROOT / "benchmarks" / "scale.yaml"),
        "DAGSTER_HOME": "",
    }
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale_station", station],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        raise SystemExit(f"{station} (started {started}) failed:\n{child.stderr[-6_000:]}")
    cost: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return {**cost, "load": os.getloadavg()[0]}


def told(cost: dict[str, Any]) -> str:
    numbers = {name: round(value, 1) for name, value in cost.items() if isinstance(value, float)}
    return json.dumps({**numbers, **({"failed": cost["failed_checks"]} if cost.get("failed_checks") else {})})


def exponent(smaller: float, larger: float) -> float:
    """Of growth over a factor of ten: 1 is ten times the cost.

    >>> round(exponent(2.0, 40.0), 2)
    1.3
    """
    return math.log10(max(larger, 1e-9) / max(smaller, 1e-9))


def holds(station: str, measured: dict[int, Costs]) -> bool:
    """Whether the last factor of ten cost no more than it may."""
    *_, smaller, larger = (costs.get(station) for costs in measured.values())
    if smaller is None or larger is None or larger["cpu_s"] < NOTICEABLE_S:
        return True
    return exponent(smaller["cpu_s"], larger["cpu_s"]) <= TARGET


def as_table(measured: dict[int, Costs]) -> str:
    sizes = list(measured)
    heads = [f"CPU s at {named(size)}" for size in sizes]
    lines = [
        f"| station | {' | '.join(heads)} | exponents | wall s at {named(sizes[-1])} | peak GB at each |",
        "|---" * (len(sizes) + 4) + "|",
    ]
    for station in STATIONS:
        costs = [costs.get(station) for costs in measured.values()]
        cpu = [cost and cost["cpu_s"] for cost in costs]
        grown = [f"{exponent(a, b):.2f}" if a and b else "–" for a, b in itertools.pairwise(cpu)]
        wall = f"{costs[-1]['wall_s']:.0f}" if costs[-1] else "–"
        peak = " / ".join(f"{cost['peak_mb'] / 1024:.1f}" if cost else "–" for cost in costs)
        seconds = " | ".join(f"{value:.1f}" if value else "–" for value in cpu)
        lines.append(f"| `{station}` | {seconds} | {', '.join(grown)} | {wall} | {peak} |")
    return "\n".join([*lines, "", *_facts(measured), "", _circumstances(measured)])


def _facts(measured: dict[int, Costs]) -> list[str]:
    """What is not a cost of time: latencies and sizes."""
    rows = {
        "a list in the process, p50 / p99 / CPU, ms": ("open", "list_p50_ms", "list_p99_ms", "list_cpu_ms"),
        "a list over HTTP, p50 / p99 / CPU of the service, ms": ("serve", "http_p50_ms", "http_p99_ms", "http_cpu_ms"),
        "bundle, MB": ("open", "bundle_mb"),
        "the service's memory, MB": ("serve", "peak_mb"),
    }
    lines = [f"| | {' | '.join(named(size) for size in measured)} |", "|---" * (len(measured) + 1) + "|"]
    for title, (station, *names) in rows.items():
        cells = [
            " / ".join(f"{costs[station][name]:.1f}" for name in names) if station in costs else "–"
            for costs in measured.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _circumstances(measured: dict[int, Costs]) -> str:
    loads = [cost["load"] for costs in measured.values() for cost in costs.values() if "load" in cost]
    load = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "unknown"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {platform.machine()}, {memory:.0f} GB, Python {platform.python_version()}; {DAYS} days of events. "
        f"Load average while measuring: {load}."
    )


def named(size: int) -> str:
    """Of a shop.

    >>> named(10_000_000)
    '10 M'
    """
    return f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size // 1_000} k"


def as_units(measured: dict[int, Costs]) -> str:
    """What a million interactions more cost each station: the slope between the two largest shops that have it."""
    lines = ["| station | between | CPU s per million interactions | GB of memory per million |", "|---" * 4 + "|"]
    for station in STATIONS:
        known = [(size, costs[station]) for size, costs in measured.items() if station in costs]
        if len(known) < 2:
            continue
        (small, less), (large, more) = known[-2:]
        millions = (large - small) / 1e6
        seconds, gigabytes = ((more[key] - less[key]) / millions for key in ("cpu_s", "peak_mb"))
        lines.append(f"| `{station}` | {named(small)} and {named(large)} | {seconds:.1f} | {gigabytes / 1024:.2f} |")
    return "\n".join(lines)


def as_service(measured: dict[int, Costs]) -> str:
    """What one replica needs at each size."""
    lines = [
        "| items | CPU ms a list | the same over HTTP | lists a second and core at 60 % | memory of a replica, GB |",
        "|---" * 5 + "|",
    ]
    for size, costs in measured.items():
        if "open" in costs and "serve" in costs:
            in_process, over_http = costs["open"]["list_cpu_ms"], costs["serve"]["http_cpu_ms"]
            memory = costs["serve"]["peak_mb"] / 1024
            lines.append(
                f"| {named(size // ITEMS_SHARE)} | {in_process:.1f} | {over_http:.1f} | {600 / over_http:.0f} | {memory:.1f} |"
            )
    return "\n".join(lines)


def renewed(page: str, table: str, *, mark: str) -> str:
    """The page with the table between its mark and the next end.

    Raises:
        ValueError: the page lacks the mark.
    """
    marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(page):
        raise ValueError(f"The page must hold `<!-- {mark} -->` and `<!-- end -->`. Received: a page without them.")
    return marks.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page)


if __name__ == "__main__":
    main()
