"""Where the CPU of a list goes: its stages without HTTP, each kind of list, and one whole request without its socket.

CPU of one thread and no wall clock, over users drawn at random, so that each list finds other rows than the one before. What else runs on the
machine still counts: it takes the caches.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import process_time, thread_time_ns

import numpy as np

from ml.contract.release import ReleasePointer
from ml.runtime.bundle import Bundle, open_bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest, Request

LISTS, WARM = 1_000, 200
PATH = "/api/v1/recommendations/homepage"


def opened(home: Path) -> Bundle:
    releases = home / "releases"
    return open_bundle(ReleasePointer.read(releases).bundle_in(releases))


def stages_of(bundle: Bundle) -> list[list[object]]:
    """CPU microseconds of each stage of a homepage's list: mean, median."""
    spent: dict[str, list[int]] = defaultdict(list)
    for number, request in enumerate(_requests(bundle)["homepage"]):
        marks = [thread_time_ns()]

        def over(stage: str, number: int = number, marks: list[int] = marks) -> None:
            now = thread_time_ns()
            if number >= WARM:
                spent[stage].append(now - marks[-1])
            marks.append(thread_time_ns())

        recommend(bundle, request, now=_now(bundle), over=over)
    rows: list[list[object]] = [[stage, *_mean_and_median(times)] for stage, times in spent.items()]
    return [*rows, ["all", *(sum(float(row[column]) for row in rows) for column in (1, 2))]]  # type: ignore[arg-type]


def surfaces_of(bundle: Bundle) -> list[list[object]]:
    """CPU microseconds of a whole list of each kind: mean, median, p99."""
    return [[name, *_lists_of(bundle, requests)] for name, requests in _requests(bundle).items()]


def _lists_of(bundle: Bundle, requests: list[Request]) -> tuple[float, float, float]:
    times = []
    for request in requests:
        begun = thread_time_ns()
        recommend(bundle, request, now=_now(bundle))
        times.append(thread_time_ns() - begun)
    return *_mean_and_median(times[WARM:]), float(np.quantile(times[WARM:], 0.99) / 1e3)


def request_of(user_ids: list[str]) -> float:
    """CPU milliseconds of the whole process for a request: all of the service but uvicorn's parser and the socket.

    The home of the service is that of the environment, AISLE_HOME.
    """
    from serving.app import create_app
    from serving.settings import ServiceSettings

    settings = ServiceSettings(rate_per_second=1e6, rate_burst=10**6, deadline_ms=60_000)
    app = create_app(settings)

    async def asked() -> float:
        async with app.router.lifespan_context(app):
            key = settings.development_key_path.read_text().strip()
            for user_id in user_ids[:WARM]:
                await _ask(app, user_id, key)
            begun = process_time()
            for user_id in user_ids[WARM:]:
                await _ask(app, user_id, key)
            await asyncio.sleep(0.5)  # until the last of the lists are written down
            return (process_time() - begun) / len(user_ids[WARM:]) * 1e3

    return asyncio.run(asked())


async def _ask(app: Callable[..., Awaitable[None]], user_id: str, key: str) -> None:
    told: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": f"user_id={user_id}&limit=12".encode(),
        "headers": [(b"host", b"shop"), (b"authorization", f"Bearer {key}".encode())],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    await app(scope, receive, send)
    if told[0]["status"] != 200:
        raise SystemExit(f"Expected a list. Received: {told}")


def _requests(bundle: Bundle) -> dict[str, list[Request]]:
    rng, count = np.random.default_rng(1), WARM + LISTS
    users, items = bundle.users.vocabulary.ids, bundle.items.vocabulary.ids
    who = users.take(rng.integers(0, len(users), count)).to_pylist()
    what = items.take(rng.integers(0, len(items), 3 * count)).to_pylist()
    return {
        "homepage": [HomeRequest(user_id=user) for user in who],
        "homepage of a region": [HomeRequest(user_id=user, region="AT") for user in who],
        "stranger": [HomeRequest() for _ in who],
        "product": [ProductRequest(item_id=item) for item in what[:count]],
        "bought together": [BoughtTogetherRequest(item_id=item) for item in what[:count]],
        "cart of three": [CartRequest(item_ids=tuple(what[place : place + 3])) for place in range(0, 3 * count, 3)],
    }


def _now(bundle: Bundle) -> datetime:
    assert bundle.manifest is not None
    return bundle.manifest.facts.cut_at + timedelta(hours=5)


def _mean_and_median(nanoseconds: list[int]) -> tuple[float, float]:
    return float(np.mean(nanoseconds) / 1e3), float(np.median(nanoseconds) / 1e3)
