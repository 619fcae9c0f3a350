"""One station of one home, in a process of its own: `python -m benchmarks.scale_station <name>`.

Runs the assets of the graph as a run of Dagster would, in the home AISLE_HOME names, and prints one line of JSON: what it cost. The clock
starts once the libraries are imported: they cost the same at every size.
"""

import http.client
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ml.contract.manifest import MANIFEST

ASSETS: dict[str, tuple[str, ...]] = {
    "land": (
        "raw/interactions",
        "raw/impressions",
        "raw/items",
        "raw/item_embeddings",
        "raw/item_text_embeddings",
        "raw/item_image_embeddings",
        "raw/users",
    ),
    "dbt": ("group:warehouse",),
    "training_examples": ("ml/training_examples",),
    "retriever": ("ml/retriever",),
    "item_vectors": ("ml/item_vectors",),
    "ann_index": ("ml/ann_index",),
    "candidate_sources": ("ml/candidate_sources",),
    "ranker": ("ml/ranker",),
    "candidate_bundle": ("ml/candidate_bundle",),
    "offline_report": ("ml/offline_report",),
}
"""In the order of the path; the stations after them are functions of this module."""
HEAVY = {
    "retriever": ("ml.retrieval.multitask", "tf2onnx"),
    "ann_index": ("scann",),
    "ranker": ("lightgbm", "scipy.sparse"),
}
REQUESTS, LIMIT = 500, 12


def main() -> None:
    station = sys.argv[1]
    for module in HEAVY.get(station, ()):
        importlib.import_module(module)
    facts = FUNCTIONS[station]() if station in FUNCTIONS else materialise(station)
    print(json.dumps(facts))


def materialise(station: str) -> dict[str, Any]:
    """Run the assets of a station over every day of the shop."""
    from orchestration.definitions import defs
    from orchestration.partitions import calendar
    from orchestration.run import history_of, whole_range
    from orchestration.settings import PlatformSettings

    job = defs.resolve_job_def("train_and_release")
    graph = defs.resolve_asset_graph()
    keys = [key for name in ASSETS[station] for key in _keys(graph, name)]
    with history_of(PlatformSettings()) as instance, measured() as cost:
        result = job.execute_in_process(
            asset_selection=keys,
            tags=whole_range(calendar),
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    if missing := set(keys) - made:
        raise SystemExit(f"{station}: not made: {sorted(key.to_user_string() for key in missing)}\n{_failures(result)}")
    failed = sorted(check.check_name for check in result.get_asset_check_evaluations() if not check.passed)
    return {**cost, "failed_checks": failed}


def _keys(graph: Any, name: str) -> list[Any]:
    import dagster as dg

    if name.startswith("group:"):
        return [key for key in graph.materializable_asset_keys if graph.get(key).group_name == name[6:]]
    return [dg.AssetKey(name.split("/"))]


def _failures(result: Any) -> str:
    failed = [event for event in result.all_events if event.is_failure]
    return "\n".join(f"{event.step_key}: {event.message} {event.event_specific_data}"[:3_000] for event in failed)


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Fills in seconds of wall clock and CPU, and the most memory this process or a child of it has held."""
    cost: dict[str, Any] = {}
    started, cpu = time.perf_counter(), _cpu_seconds()
    yield cost
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, children)
    cost |= {"wall_s": time.perf_counter() - started, "cpu_s": _cpu_seconds() - cpu, "peak_mb": peak / 1024}


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def open_and_recommend() -> dict[str, Any]:
    """The newest candidate verified and opened, then lists for users drawn from it, in this process."""
    from ml.runtime.bundle import open_bundle
    from ml.runtime.recommend import recommend
    from ml.runtime.requests import HomeRequest

    with measured() as cost:
        bundle = open_bundle(_candidate())
        now = bundle.manifest.facts.cut_at  # type: ignore[union-attr]
        recommend(bundle, HomeRequest(user_id=_drawn(bundle.users.vocabulary.ids, 1)[0], limit=LIMIT), now=now)
    latencies, cpu = [], time.process_time()
    for user_id in _drawn(bundle.users.vocabulary.ids, REQUESTS):
        started = time.perf_counter()
        recommend(bundle, HomeRequest(user_id=user_id, limit=LIMIT), now=now)
        latencies.append(time.perf_counter() - started)
    list_cpu_ms = (time.process_time() - cpu) / REQUESTS * 1e3
    size = sum(path.stat().st_size for path in _candidate().rglob("*") if path.is_file())
    return {**cost, **_quantiles("list", latencies), "list_cpu_ms": list_cpu_ms, "bundle_mb": size / 1e6}


def publish_and_serve() -> dict[str, Any]:
    """A real service process: seconds until it is ready, its memory, and lists over HTTP, one connection after another."""
    from ml.release.publish import publish

    home = Path(os.environ["AISLE_HOME"])
    publish(_candidate(), releases=home / "releases", now=datetime.now(UTC))
    users = _shop_users()
    port = "8765"
    with (
        measured() as cost,
        subprocess.Popen(
            [sys.executable, "-m", "serving"], env={**os.environ, "AISLE_SERVICE_PORT": port}, stdout=subprocess.DEVNULL
        ) as service,
    ):
        try:
            _wait_until_ready(port, service)
            ready, cpu = time.perf_counter(), _cpu_of(service.pid)
            latencies = [_timed_request(port, user_id) for user_id in users]
            http_cpu_ms = (_cpu_of(service.pid) - cpu) / REQUESTS * 1e3
            status = Path(f"/proc/{service.pid}/status").read_text()
            served_s = time.perf_counter() - ready
        finally:
            service.terminate()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return {
        **cost,
        "wall_s": cost["wall_s"] - served_s,
        "peak_mb": int(lines["VmHWM"].split()[0]) / 1024,
        **_quantiles("http", latencies),
        "http_cpu_ms": http_cpu_ms,
    }


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _wait_until_ready(port: str, service: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + timedelta(minutes=5).total_seconds()
    while time.monotonic() < deadline and service.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except ConnectionError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service did not become ready")


def _timed_request(port: str, user_id: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    connection.connect()
    started = time.perf_counter()
    connection.request("GET", f"/api/v1/recommendations/homepage?user_id={user_id}&limit={LIMIT}")
    response = connection.getresponse()
    answer = json.loads(response.read())
    taken = time.perf_counter() - started
    connection.close()
    if response.status != 200 or len(answer["recommendations"]) != LIMIT:
        raise SystemExit(f"Expected {LIMIT} recommendations. Received: {response.status} {answer}")
    return taken


def _candidate() -> Path:
    """The bundle that was packed last."""
    packed = Path(os.environ["AISLE_HOME"], "candidates").glob(f"[!.]*/{MANIFEST}")
    return max(packed, key=lambda path: path.stat().st_mtime).parent


def _drawn(ids: Any, count: int) -> list[str]:
    rows = np.random.default_rng(0).integers(0, len(ids), count)
    return [str(ids[int(row)]) for row in rows]


def _shop_users() -> list[str]:
    """Ids of the shop's own: the service makes pseudonyms of them."""
    import pyarrow.parquet as pq

    users = pq.read_table(Path(os.environ["AISLE_MAPPING"]).with_name("users.parquet"), columns=["user_id"])
    return _drawn(users["user_id"], REQUESTS)


def _quantiles(what: str, seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(np.array(seconds) * 1e3, [0.5, 0.99])
    return {f"{what}_p50_ms": float(p50), f"{what}_p99_ms": float(p99)}


FUNCTIONS: dict[str, Callable[[], dict[str, Any]]] = {"open": open_and_recommend, "serve": publish_and_serve}

if __name__ == "__main__":
    main()
