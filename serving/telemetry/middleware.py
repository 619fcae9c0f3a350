"""Counts and times every request, those that are refused before they reach a route included."""

import logging
from http import HTTPStatus
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.telemetry.telemetry import Telemetry

UNROUTED = "none"
"""Route of what no route was asked for: a stranger's path is never a label."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_CLOSED = 499

logger = logging.getLogger("serving.requests")


class RequestTelemetry:
    """Ends a request's time with the last byte of its answer; what is done after that is not the caller's time."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._telemetry.traces is None:
            await _Watched(self._telemetry, scope, send).run(self._app, receive)
            return
        with self._telemetry.traces.request(scope) as span:
            watched = _Watched(self._telemetry, scope, send)
            try:
                await watched.run(self._app, receive)
            finally:
                self._telemetry.traces.answered(
                    span, method=scope["method"], route=route_of(scope), status=watched.status
                )


class _Watched:
    """One request on its way."""

    def __init__(self, telemetry: Telemetry, scope: Scope, send: Send) -> None:
        self._telemetry = telemetry
        self._scope = scope
        self._send = send
        self._started = perf_counter()
        self._is_over = False
        self.status = _CLIENT_CLOSED

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        self._telemetry.metrics.in_flight.inc()
        try:
            await app(self._scope, receive, self._noted)
        except Exception:
            # The answer to a defect is made outside of every middleware.
            self.status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            self._over()

    async def _noted(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._over()

    def _over(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        seconds = perf_counter() - self._started
        route, method = route_of(self._scope), self._scope["method"]
        method = method if method in _METHODS else "other"
        metrics = self._telemetry.metrics
        metrics.in_flight.dec()
        metrics.answered(route=route, method=method, status=self.status, seconds=seconds)
        level = logging.WARNING if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.DEBUG
        if logger.isEnabledFor(level):
            facts = {
                "route": route,
                "method": method,
                "status": int(self.status),
                "duration_ms": round(seconds * 1e3, 3),
            }
            logger.log(level, "%s %s: %d", method, route, self.status, extra={"facts": facts})


def route_of(scope: Scope) -> str:
    """The pattern of the path, which holds no id."""
    path: str = getattr(scope.get("route"), "path", UNROUTED)
    return path
