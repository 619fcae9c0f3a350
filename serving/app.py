"""The service, assembled."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from ml.contract.errors import ReleaseError
from serving import problems
from serving.archive import Archive
from serving.deadline import HEADER as DEADLINE
from serving.deadline import Arrivals
from serving.feedback import FeedbackLog
from serving.live_bundle import LiveBundle
from serving.online_store import EmbeddedStore, OnlineStore
from serving.openapi import operation_id
from serving.release_mirror import ReleaseMirror
from serving.request_id import HEADER, RequestIds
from serving.routes import (
    analytics,
    console,
    explain,
    health,
    inspection,
    interactions,
    metrics,
    model,
    rank,
    recommendations,
)
from serving.security.gate import CONSOLE, METRICS, PAGES, PROBES, KeyGate
from serving.security.headers import SecurityHeaders
from serving.security.keys import ApiKey, key_ring
from serving.security.limits import BodyLimit, ConcurrencyLimit, RateLimit
from serving.settings import ServiceSettings
from serving.shortcut import Shortcut
from serving.telemetry import Telemetry
from serving.telemetry.collector import StateCollector
from serving.telemetry.middleware import RequestTelemetry
from serving.turns import QueueLimit, Turns
from serving.visits import Visits, bundle_cut
from serving.withdrawal import Withdrawal, WithdrawalNotice
from serving.workers.peers import Peers

_DESCRIPTION = """
Lists for a shop's pages, from one verified release bundle, and from what the visitor did a moment ago.

Every answer names the `bundle_version` that made it, and for every item the `source` that proposed it. Whatever was left out is named in `degraded`.
Of a parameter that takes one value and is given several times, the last counts. A newly promoted release takes over without a restart. Every failure has the same body: `error`, `message`, `remedy`, `request_id`.

Every path but the probes needs an API key: `Authorization: Bearer <key>`.
"""


def create_app(settings: ServiceSettings | None = None, *, peers: Peers | None = None, gently: bool = False) -> FastAPI:
    """The service; it opens its bundle when it starts, and starts without one too (then it answers 503 until there is one).

    Args:
        peers: where it is one of several workers.
        gently: others answer on these cores, and they come first until this one does.
    """
    settings = settings or ServiceSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Closed in reverse, each whatever becomes of the others: what was acknowledged is written even if a release cannot be let go.
        async with AsyncExitStack() as parts:
            await _open(app, settings, parts, gently=gently)
            yield

    app = FastAPI(
        title="Aisle",
        version=_version(),
        summary="Recommendations for a shop.",
        description=_DESCRIPTION,
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.live = _live_bundle(settings)
    app.state.archive = Archive(settings.releases_folder)
    app.state.pseudonym_key = settings.pseudonym_key.get_secret_value()
    app.state.telemetry = Telemetry.to(settings.otel_endpoint)
    app.state.withdrawal = Withdrawal()
    app.state.peers = peers
    app.state.turns = Turns()
    _guard(app, settings)
    problems.install(app)
    for routes in (recommendations, rank, explain, interactions, analytics, inspection, model, health):
        app.include_router(routes.router)
    app.include_router(metrics.router_of(public=settings.public_metrics))
    if settings.console:
        app.include_router(console.console_router())
    return app


async def _open(app: FastAPI, settings: ServiceSettings, parts: AsyncExitStack, *, gently: bool) -> None:
    """Start every part; `parts` then knows how to end it."""
    state = app.state
    state.keys = await run_in_threadpool(key_ring, settings)
    parts.push_async_callback(run_in_threadpool, state.telemetry.stop)
    state.feedback = await run_in_threadpool(
        FeedbackLog.open, settings.feedback_address, default=settings.feedback_path
    )
    parts.push_async_callback(run_in_threadpool, state.feedback.close)
    state.visits = Visits(state.feedback, _online_store(settings), cut_at=lambda: _live_cut(state.live))
    registry = state.telemetry.metrics.registry
    collector = StateCollector(state.live, state.archive, state.feedback, state.visits)
    registry.register(collector)
    parts.callback(registry.unregister, collector)
    await run_in_threadpool(state.live.start, gently=gently)
    parts.push_async_callback(run_in_threadpool, state.live.stop)
    await run_in_threadpool(state.visits.start)
    parts.push_async_callback(run_in_threadpool, state.visits.stop)
    if state.peers is not None:
        await state.peers.start(registry)
        parts.push_async_callback(state.peers.stop)


def _live_bundle(settings: ServiceSettings) -> LiveBundle:
    folder, pin, poll_seconds = settings.releases_folder, settings.bundle, settings.poll_seconds
    remote = settings.releases_remote
    mirror = ReleaseMirror(remote, folder, pin=pin, poll_seconds=poll_seconds) if remote else None
    return LiveBundle(folder, pin=pin, poll_seconds=poll_seconds, mirror=mirror)


def _guard(app: FastAPI, settings: ServiceSettings) -> None:
    """What stands before every route; the last one added is the first to see a request."""

    def find(presented: str) -> ApiKey | None:
        key: ApiKey | None = app.state.keys.find(presented)
        return key

    app.add_middleware(Shortcut)
    app.add_middleware(ConcurrencyLimit, at_once=settings.max_concurrent)
    app.add_middleware(Arrivals)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    # Behind the key: lists out of turn are few, and a stranger shall have none of them.
    app.add_middleware(QueueLimit, turns=app.state.turns, longest_wait=settings.max_wait_ms / 1000)
    app.add_middleware(RateLimit, per_second=settings.rate_per_second, burst=settings.rate_burst)
    app.add_middleware(KeyGate, find=find, open_paths=_open_paths(settings))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", HEADER, DEADLINE],
            expose_headers=[HEADER, "Retry-After"],
            max_age=3600,
        )
    app.add_middleware(WithdrawalNotice, withdrawal=app.state.withdrawal)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestTelemetry, telemetry=app.state.telemetry)
    app.add_middleware(RequestIds)


def _open_paths(settings: ServiceSettings) -> frozenset[str]:
    pages = PAGES if settings.public_docs else frozenset()
    page = CONSOLE if settings.console else frozenset()
    return PROBES | pages | page | (frozenset({METRICS}) if settings.public_metrics else frozenset())


def _online_store(settings: ServiceSettings) -> OnlineStore:
    if settings.redis_address is None:
        return EmbeddedStore()
    from serving.online_store.redis_store import RedisStore

    return RedisStore(settings.redis_address)


def _live_cut(live: LiveBundle) -> datetime | None:
    try:
        return bundle_cut(live.release.bundle)
    except ReleaseError:
        return None


def _version() -> str:
    try:
        return version("aisle")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
