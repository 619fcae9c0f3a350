"""Every request has an id: the caller's own if it is a sane one, else ours. It is in every answer and every log line."""

import re
from contextvars import ContextVar

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.chance import CHANCE

HEADER = "X-Request-Id"
SANE = "[A-Za-z0-9_.-]{1,64}"
"""What an id may look like: nothing that could forge a line of a log."""
_SANE = re.compile(SANE)
_NAME = HEADER.lower().encode()
_CURRENT: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """Of the request this task or thread works on; None outside of one."""
    return _CURRENT.get()


def header_of(scope: Scope, name: bytes) -> str:
    """The first of a name, in small letters as a server gives them; empty where there is none. Starlette's `Headers` takes ten times as long."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


class RequestIds:
    """Sets `request.state.request_id` and the response header. Plain ASGI: costs microseconds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = header_of(scope, _NAME)
        # Whatever a caller sends ends up in logs: only what cannot forge a line there is kept.
        # The system's own chance: `random` repeats itself wherever it is seeded or a process is forked, and two lists would be one.
        request_id = offered if _SANE.fullmatch(offered) else CHANCE.name()
        scope.setdefault("state", {})["request_id"] = request_id
        _CURRENT.set(request_id)  # never taken back: each request has a task, and so a context, of its own

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
