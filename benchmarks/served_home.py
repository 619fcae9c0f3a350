"""A copy of a home's live release in a folder of its own, a second release beside it, and the service on them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.load_process import ROOT, Result
from ml.bundle.repack import TABLES
from ml.bundle.write import write_bundle
from ml.contract.release import ReleasePointer
from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.release.publish import publish, rollback
from ml.runtime.bundle import Bundle, open_bundle
from ml.runtime.items import ItemTable
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest, Request
from orchestration.showcase import free_port

LIST_ITEMS = 12


@dataclass(frozen=True)
class Home:
    """Two releases that are served in turn, and what to ask of them."""

    folder: Path
    bundles: tuple[Bundle, Bundle]
    paths: tuple[str, ...]
    requests: dict[str, Request]
    """What each path asks, as `recommend` is asked."""

    @classmethod
    def of(cls, source: Path, folder: Path) -> "Home":
        """The live release of `source`, and another one of the same models in which every third item is sold out."""
        releases = source / "releases"
        first = ReleasePointer.read(releases).bundle_in(releases)
        bundle = open_bundle(first)
        second = _with_a_third_sold_out(bundle, first, folder / "made")
        publish(second, releases=folder / "releases", now=datetime.now(UTC))
        publish(first, releases=folder / "releases", now=datetime.now(UTC))
        requests = _requests(bundle)
        return cls(folder, (bundle, open_bundle(second)), tuple(requests), requests)

    def swap(self) -> str:
        """Make the release before the live one live again, as `aisle rollback` does; its version."""
        return rollback(self.folder / "releases", now=datetime.now(UTC)).version

    def is_mixed(self, result: Result) -> bool:
        """Whether an answer is anything else than what the bundle it names says offline."""
        answer = result.answer
        [bundle] = [each for each in self.bundles if each.version == answer["bundle_version"]]
        expected = recommend(bundle, self.requests[result.path], now=datetime.fromisoformat(answer["generated_at"]))
        found = [(item["product_id"], item["score"]) for item in answer["recommendations"]]
        return found != [(item.item_id, item.score) for item in expected.items]


def _with_a_third_sold_out(bundle: Bundle, folder: Path, made: Path) -> Path:
    table = bundle.items.table
    stock = np.where(np.arange(len(table)) % 3 == 0, 0, 1_000)
    column = table.schema.get_field_index("stock")
    sold_out = ItemTable(
        table.set_column(column, table.schema.field(column), pa.array(stock, table.schema.field(column).type))
    )
    assert bundle.manifest is not None
    with tempfile.TemporaryDirectory() as models:
        kept = Path(shutil.copytree(folder, Path(models, "models"), ignore=shutil.ignore_patterns(*TABLES)))
        return write_bundle(replace(bundle, items=sold_out), [kept], made, facts=bundle.manifest.facts).path


def _requests(bundle: Bundle) -> dict[str, Request]:
    """Home pages of the demo shop's customers and of a stranger, pages of products."""
    names = [f"u{number}" for number in range(100_000, 103_000)]
    users = {name: pseudonym(name, DEVELOPMENT_KEY) for name in names}
    known = [name for name, user in users.items() if bundle.users.vocabulary.row(user) >= 0][:400] or ["nobody"]
    items = bundle.items.vocabulary.ids.slice(0, 200).to_pylist()
    base, asked = "/api/v1/recommendations", {}
    for place, name in enumerate(known):
        asked[f"{base}/homepage?user_id={name}&limit={LIST_ITEMS}"] = HomeRequest(
            user_id=users.get(name), limit=LIST_ITEMS
        )
        item = items[place % len(items)]
        asked[f"{base}/product/{item}?limit={LIST_ITEMS}"] = ProductRequest(item_id=item, limit=LIST_ITEMS)
    return asked


@dataclass(frozen=True)
class Running:
    """The service in a process of its own."""

    address: str
    key: str
    process: subprocess.Popen[bytes]
    log: Path

    def ready(self) -> dict[str, Any] | None:
        """What /readyz says; None unless it is 200."""
        connection = HTTPConnection(self.address.removeprefix("http://"), timeout=30)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            told: dict[str, Any] = json.loads(answer.read())
            return told if answer.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()


@contextmanager
def service(home: Home, *, command: Sequence[str] = ("-m", "serving"), **settings: str) -> Iterator[Running]:
    """Ready when it is handed over; must end with code 0."""
    port, log = free_port(), home.folder / "service.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AISLE_")},
        "AISLE_HOME": str(home.folder),
        "AISLE_SERVICE_PORT": str(port),
        "AISLE_RATE_PER_SECOND": "100000",
        "AISLE_RATE_BURST": "100000",
        **settings,
    }
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        running = Running(f"http://127.0.0.1:{port}", "", process, log)
        while running.ready() is None:
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
        yield replace(running, key=(home.folder / "development_api_key").read_text())
        process.terminate()
        assert process.wait(90) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def percentile(results: Sequence[Result], percent: float) -> float:
    """Milliseconds, waiting included."""
    return float(np.percentile([result.seconds * 1e3 for result in results], percent))


def machine() -> str:
    """What else went on, without which no figure of waiting says anything."""
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} in the last minute"
