"""From an acknowledged event to a changed list, in milliseconds, against the service in a process of its own.

    python -m benchmarks.live_session .aisle

Asks the live release of a home. For each of the visitors: a list as a stranger, one purchase, then the next list. It must be another one at
the first asking: the script fails when one is not. Claim: under 50 ms at the 95th percentile.
"""

import argparse
import json
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from orchestration.settings import PlatformSettings
from orchestration.showcase import Service, running_service


class Client:
    """One connection that stays open, as a shop's back end keeps it."""

    def __init__(self, service: Service) -> None:
        self._connection = HTTPConnection(urlsplit(service.address).netloc, timeout=10)
        self._headers = {
            "Authorization": f"Bearer {service.key_file.read_text()}",
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        content: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, content
        return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--visitors", type=int, default=300)
    arguments = parser.parse_args()
    settings = PlatformSettings(home=arguments.home)
    acknowledged_ms, changed_ms = [], []
    with running_service(settings) as service:
        client = Client(service)
        popular = client.ask("GET", "/api/v1/recommendations/homepage?limit=20")["recommendations"]
        for number in range(arguments.visitors):
            visitor = uuid4().hex
            path = f"/api/v1/recommendations/homepage?limit=20&session_id={visitor}"
            before = client.ask("GET", path)
            event = {"item_id": popular[number % 20]["product_id"], "event_type": "purchase", "session_id": visitor}
            started = time.perf_counter()
            assert client.ask("POST", "/api/v1/interactions", event)["accepted"] == 1
            acknowledged = time.perf_counter()
            after = client.ask("GET", path)
            changed = time.perf_counter()
            assert after["recommendations"] != before["recommendations"], f"visitor {number}: the same list"
            acknowledged_ms.append((acknowledged - started) * 1000)
            changed_ms.append((changed - acknowledged) * 1000)
    print(f"{arguments.visitors} visitors, every first list after the event was another one")
    for name, values in (
        ("event to acknowledgement", acknowledged_ms),
        ("acknowledgement to changed list", changed_ms),
    ):
        ordered = sorted(values)
        p95, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.95, 0.99))
        print(f"  {name:<32} p50 {median(values):6.1f} ms   p95 {p95:6.1f} ms   p99 {p99:6.1f} ms")


if __name__ == "__main__":
    main()
