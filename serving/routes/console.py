"""The console: a page that asks this API, as files. It holds nothing itself, so it needs no key; whatever it asks for does."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from serving.security.gate import CONSOLE

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https:; "  # items' pictures
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def console_router() -> APIRouter:
    """One route a file, each read once: no path of a request leads to a file."""
    router = APIRouter()
    for path in sorted(CONSOLE):
        router.add_api_route(path, _answering(path), include_in_schema=False)
    return router


def _answering(path: str) -> Callable[[], Awaitable[Response]]:
    name = path.removeprefix("/console").removeprefix("/") or "index.html"
    content = files("serving").joinpath("console", name).read_bytes()
    media_type = _KINDS[name.rpartition(".")[2]]

    async def answer() -> Response:
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": _POLICY})

    return answer
