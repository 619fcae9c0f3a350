"""The service, assembled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from serving import problems
from serving.live_bundle import LiveBundle
from serving.release_mirror import ReleaseMirror
from serving.request_id import RequestIds
from serving.routes import health, model, recommendations
from serving.settings import ServiceSettings

_DESCRIPTION = """
Lists for a shop's pages, from one verified release bundle.

Every answer names the `bundle_version` that made it, and for every item the `source` that proposed it. Whatever was skipped is named in `degraded`.
A newly promoted release takes over without a restart. Every failure has the same body: `error`, `message`, `remedy`, `request_id`.
"""


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """The service; it opens its bundle when it starts, and starts without one too (then it answers 503 until there is one)."""
    settings = settings or ServiceSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        live: LiveBundle = app.state.live
        await run_in_threadpool(live.start)
        yield
        await run_in_threadpool(live.stop)

    app = FastAPI(
        title="Aisle",
        version=_version(),
        summary="Recommendations for a shop.",
        description=_DESCRIPTION,
        lifespan=lifespan,
    )
    app.state.live = _live_bundle(settings)
    app.state.pseudonym_key = settings.pseudonym_key.get_secret_value()
    app.add_middleware(RequestIds)
    problems.install(app)
    for routes in (recommendations, model, health):
        app.include_router(routes.router)
    return app


def _live_bundle(settings: ServiceSettings) -> LiveBundle:
    folder, pin, poll_seconds = settings.releases_folder, settings.bundle, settings.poll_seconds
    remote = settings.releases_remote
    mirror = ReleaseMirror(remote, folder, pin=pin, poll_seconds=poll_seconds) if remote else None
    return LiveBundle(folder, pin=pin, poll_seconds=poll_seconds, mirror=mirror)


def _version() -> str:
    try:
        return version("aisle")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
