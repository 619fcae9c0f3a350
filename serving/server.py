"""uvicorn, stopped in order: withdrawn, drained, closed, and then out with code 0."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import FrameType

import uvicorn

from ml.runtime.kernel import compiled
from serving.app import create_app
from serving.live_bundle import LiveBundle
from serving.settings import ServiceSettings
from serving.withdrawal import Withdrawal
from serving.workers.peers import Peers

logger = logging.getLogger(__name__)

BACKLOG = 2048
SECONDS_KEPT_ALIVE = 75
"""An idle connection; longer than callers' pools keep theirs, so that it is they who close it and no request crosses with the end."""
SWITCH_SECONDS = 0.0005
"""After which a thread that runs Python lets another one."""
SECONDS_TO_FINISH = 15
"""For requests under way once nothing new is taken; the feedback log then has ten seconds to write what waits."""
_SECONDS_TO_ACCEPT = 0.05
"""For connections the kernel had made already when the listener closed."""


class GracefulServer(uvicorn.Server):
    """SIGTERM withdraws it, and after `drain_seconds` it stops. SIGINT, or a second SIGTERM, stops it at once.

    uvicorn itself closes idle connections at once, which loses the request that is on its way to one of them, and then raises the
    signal again, so that the process ends by the signal and not with a code.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        withdrawal: Withdrawal,
        *,
        drain_seconds: float,
        on_ready: Callable[[], None] | None,
        supervisor: int | None,
    ) -> None:
        """
        Args:
            on_ready: called once it accepts.
            supervisor: the process whose other workers accept on the same socket. So a withdrawn worker accepts nothing more; and when
                that process is killed it leaves nobody behind on its port.
        """
        super().__init__(config)
        self._withdrawal = withdrawal
        self._drain_seconds = drain_seconds
        self._on_ready = on_ready
        self._stop_at = float("inf")
        self._supervisor = supervisor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        settle_memory()
        if self.started and self._on_ready is not None:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if sig == signal.SIGTERM and self.started and not self._withdrawal.begun:
            self._withdrawal.begin()
            self._stop_at = monotonic() + self._drain_seconds
        elif sig == signal.SIGINT and self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._supervisor is not None:
            if self._withdrawal.begun:
                self._accept_no_more()
            self.should_exit |= os.getppid() != self._supervisor
        return await super().on_tick(counter) or monotonic() >= self._stop_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._withdrawal.begin()
        self._accept_no_more()
        await asyncio.sleep(_SECONDS_TO_ACCEPT)
        await super().shutdown(sockets)

    def _accept_no_more(self) -> None:
        for server in self.servers:
            server.close()


def settle_memory() -> None:
    """Collect garbage from now on, but spare the collector what is here to stay: code, routes, the first release, 150,000 objects in all.

    A full collection would look at each of them and hold up every list for 0.1 s. A release that is opened makes enough new objects to
    bring one about, so one fell into most swaps. What is kept here is still freed when nobody holds it: a bundle is in no ring.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def run(
    settings: ServiceSettings,
    *,
    listener: socket.socket | None = None,
    on_ready: Callable[[LiveBundle], None] | None = None,
    supervisor: int | None = None,
    peers: Peers | None = None,
    gently: bool = False,
) -> None:
    """Answer until told to stop, on a socket of a supervisor or on one of its own."""
    # A thread that opens a release runs Python for whole seconds; with the default of 5 ms it would hold up a list that often.
    sys.setswitchinterval(SWITCH_SECONDS)
    if compiled() is None:
        logger.warning(
            "The compiled part of the request path was not built: NumPy and LightGBM answer, several times slower. "
            "Run `python -m tools.build_kernel`."
        )
    app = create_app(settings, peers=peers, gently=gently)
    config = uvicorn.Config(
        app,
        host=settings.service_host,
        port=settings.service_port,
        backlog=BACKLOG,
        log_config=None,  # ours, set by who calls this
        access_log=False,  # its lines would hold the query, and so the shop's own user ids
        timeout_keep_alive=SECONDS_KEPT_ALIVE,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    server = GracefulServer(
        config,
        app.state.withdrawal,
        drain_seconds=settings.drain_seconds,
        on_ready=partial(on_ready, app.state.live) if on_ready else None,
        supervisor=supervisor,
    )
    server.run(sockets=[listener] if listener else None)
