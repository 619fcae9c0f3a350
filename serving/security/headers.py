"""Headers that tell a browser to do as little as possible with an answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.security.gate import PAGES

_POLICY = b"content-security-policy"
_NOTHING = b"default-src 'none'; frame-ancestors 'none'"
# The pages FastAPI makes load their script and style from a CDN and start them by an inline script.
_FASTAPI_PAGE = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; worker-src blob:; "
    b"style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; font-src https://fonts.gstatic.com; "
    b"img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; frame-ancestors 'none'"
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),  # a list is of one person at one instant
)


class SecurityHeaders:
    """Sets them where the answer has not set them itself: a page of our own brings its own policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = _FASTAPI_PAGE if scope["path"] in PAGES else _NOTHING

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                own = ((_POLICY, policy), *_ALWAYS)
                message["headers"] = [*message["headers"], *(header for header in own if header[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)
