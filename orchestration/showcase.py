"""What a demo shop's customers would see: real lists, asked for over HTTP from the real service."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import dagster as dg

from ml.contract.errors import PlatformError
from ml.contract.files import DEVELOPMENT_API_KEY
from ml.evaluation.report import OURS, EvaluationReport
from orchestration.progress import Say
from orchestration.resources import artifacts_of, warehouse_of
from orchestration.settings import PlatformSettings

ROOT = Path(__file__).parents[1]
SECONDS_TO_BE_READY = 120
LISTED = 8

CUSTOMERS = """
    with bought as (
        select user_id, category, count(*) as times
        from raw.interactions inner join raw.items using (item_id)
        where event_type = 'purchase' and user_id is not null and category is not null
        group by user_id, category
    ),
    tastes as (
        select
            *,
            sum(times) over (partition by user_id) as purchases,
            row_number() over (partition by user_id order by times desc, category) as place
        from bought
    ),
    favourites as (
        select *, 1.0 * times / purchases as share from tastes where place = 1 and purchases between 8 and 60
    ),
    clearest as (
        select *, row_number() over (partition by category order by share desc, user_id) as place_there from favourites
    )
    select user_id, category, times, purchases from clearest where place_there = 1 order by share desc, user_id limit 2
"""
"""Two customers whose tastes are plain to see, and not the same."""

REGULARS = """
    select user_id, count(*) as purchases from raw.interactions
    where event_type = 'purchase' and user_id is not null and excluded_because is null
    group by user_id having count(*) between 20 and 200 order by max(occurred_at) desc, user_id limit 2
"""
"""Two customers who came lately, where the shop has no categories."""

BEST_SELLER = """
    select item_id, any_value(title) as title from raw.interactions inner join raw.items using (item_id)
    where event_type = 'purchase' and excluded_because is null group by item_id order by count(*) desc, item_id limit 1
"""


@dataclass(frozen=True)
class Service:
    """A service that answers."""

    address: str
    key_file: Path

    def ask(self, path: str) -> dict[str, Any]:
        # The service has made its development key by the time it answers; probes need none.
        key = self.key_file.read_text() if self.key_file.exists() else ""
        request = Request(f"{self.address}{path}", headers={"Authorization": f"Bearer {key}"})
        with urlopen(request, timeout=10) as answer:
            asked: dict[str, Any] = json.load(answer)
            return asked


def show_report(settings: PlatformSettings, *, say: Say) -> None:
    """The offline report's headline: ours and the best simple baseline on the held-out week."""
    folder = artifacts_of(settings).folder_of(dg.AssetKey(["ml", "offline_report"]))
    assert folder is not None  # there is a release, so its report was stored
    summary = EvaluationReport.load(folder).summary
    say(
        f"\nHeld-out week from {summary.cut_at:%Y-%m-%d}: {summary.num_users} users, {summary.num_items} items, full catalogue"
    )
    for metric in (summary.settings.primary_metric, summary.settings.deep_recall):
        best = str(summary.best_baseline(metric))
        for system in (OURS, best, "popular_7d"):
            value = summary.value(metric, system=system)
            if value.mean is not None:
                say(f"  {metric:<11} {system:<12} {value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]")
    pages = sorted(settings.reports_path.glob("offline_report/*.html"), key=lambda page: page.stat().st_mtime)
    say(f"  the whole report: {pages[-1]}")


def show_lists(settings: PlatformSettings, *, say: Say) -> None:
    """Start the service on the live release, print what it answers to four requests, and stop it.

    Raises:
        PlatformError: the service did not become ready.
    """
    warehouse = warehouse_of(settings)
    [best_seller] = warehouse.query(BEST_SELLER).to_pylist()
    with running_service(settings) as service:
        for customer in warehouse.query(CUSTOMERS).to_pylist() or warehouse.query(REGULARS).to_pylist():
            say(f"\nCustomer {customer['user_id']}: {_told(customer)}")
            _show(service, f"/api/v1/recommendations/homepage?user_id={quote(customer['user_id'])}&limit={LISTED}", say)
        say("\nSomeone nobody knows")
        _show(service, f"/api/v1/recommendations/homepage?user_id=nobody-yet&limit={LISTED}", say)
        say(f"\nOn the page of {best_seller['title']}")
        _show(service, f"/api/v1/recommendations/product/{quote(best_seller['item_id'])}?limit={LISTED}", say)


def _told(customer: dict[str, Any]) -> str:
    """What is known of a customer, in a few words."""
    if "category" not in customer:
        return f"{customer['purchases']} purchases"
    return f"{customer['times']} of {customer['purchases']} purchases in {customer['category']}"


def _show(service: Service, path: str, say: Say) -> None:
    started = time.perf_counter()
    answer = service.ask(path)
    say(f"  GET {path}  ({(time.perf_counter() - started) * 1000:.0f} ms, bundle {answer['bundle_version']})")
    for item in answer["recommendations"]:
        price = "" if item["price"] is None else f"{item['price']:.2f}"
        name, category = item["name"] or item["product_id"], item["category"] or ""
        say(
            f"  {item['position']:>2}. {name[:44]:<44} {category[:20]:<20} {price:>8}  {item['score']:>7.3f}  {item['source']}"
        )


@contextmanager
def running_service(settings: PlatformSettings) -> Iterator[Service]:
    """The service on a free port, stopped at the end whatever happens."""
    port = free_port()
    log = settings.home / "logs" / "service.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # What is only shown here was shown to nobody: a log of its own that goes with it, and no visits from elsewhere.
    scratch = TemporaryDirectory(prefix="aisle-")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "AISLE_REDIS_URL"},
        "AISLE_HOME": str(settings.home),
        "AISLE_SERVICE_PORT": str(port),
        "AISLE_WORKERS": "1",
        "AISLE_ENVIRONMENT": "development",
        "AISLE_FEEDBACK_URL": f"sqlite:///{scratch.name}/feedback.db",
    }
    if remote := settings.in_bucket("releases"):
        environment.setdefault("AISLE_RELEASES", remote)
    with scratch, log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            service = Service(f"http://127.0.0.1:{port}", settings.home / DEVELOPMENT_API_KEY)
            _wait_until_ready(service, process, log)
            yield service
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(service: Service, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_BE_READY
    while time.monotonic() < deadline and process.poll() is None:
        try:
            service.ask("/readyz")
            return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    said = " ".join(log.read_text().split()[-60:])
    ended = "" if process.poll() is None else f", ended with code {process.returncode}"
    raise PlatformError(
        f"The service must be ready within {SECONDS_TO_BE_READY} s. Received: not ready{ended}. It said: {said}"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
