"""The plain way to take a new release, as the peer of `swap_under_load`: the event loop opens it and puts it in place, nothing is warmed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI

from ml.contract.release import ReleasePointer
from ml.runtime.bundle import open_bundle
from serving.app import create_app
from serving.live_bundle import LiveBundle, LiveRelease
from serving.settings import ServiceSettings


async def _reload(live: LiveBundle, settings: ServiceSettings) -> None:
    while True:
        await asyncio.sleep(settings.poll_seconds)
        pointer = ReleasePointer.read(settings.releases_folder)
        if pointer.version != live.release.bundle.version:
            live._release = LiveRelease(
                open_bundle(pointer.bundle_in(settings.releases_folder)), datetime.now(UTC), pointer
            )


def main() -> None:
    settings = ServiceSettings()
    app = create_app(settings)
    opened = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(app):
            live: LiveBundle = app.state.live
            live._stopping.set()  # its own following ends here
            task = asyncio.create_task(_reload(live, settings))
            yield
            task.cancel()

    app.router.lifespan_context = lifespan
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again at its end
    uvicorn.run(app, host=settings.service_host, port=settings.service_port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
