"""The gate: no request goes further without a live key, but for a few paths named one by one."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.problems import problem
from serving.request_id import header_of
from serving.security.keys import ApiKey

PROBES = frozenset({"/healthz", "/readyz"})
METRICS = "/metrics"
PAGES = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
CONSOLE = frozenset(
    {"/console", "/console/console.css", "/console/icon.svg"}
    | {f"/console/{name}.js" for name in ("api", "app", "dom", "history", "lists", "picker", "suggestions", "why")}
)
_REMEDY = (
    "Send `Authorization: Bearer <key>`. In development the key is in the file development_api_key of AISLE_HOME; "
    "in production `python -m serving.security new-key` makes one."
)


class KeyGate:
    """Sets `request.state.api_key`, or answers 401. What is not named as open is closed, paths without a route included."""

    def __init__(self, app: ASGIApp, find: Callable[[str], ApiKey | None], open_paths: frozenset[str]) -> None:
        self._app = app
        self._find = find
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # nothing here speaks it, and nothing may pass unseen
            return
        kind, _, presented = header_of(scope, b"authorization").partition(" ")
        key = self._find(presented.strip()) if kind.lower() == "bearer" else None
        if key is not None:
            scope["state"]["api_key"] = key
            await self._app(scope, receive, send)
            return
        received = "a key that is not live" if presented else "no key"
        message = f"This path needs an API key. Received: {received}."
        refusal = problem(scope["state"]["request_id"], HTTPStatus.UNAUTHORIZED, "no_key", message, _REMEDY)
        refusal.headers["WWW-Authenticate"] = "Bearer"
        await refusal(scope, receive, send)
