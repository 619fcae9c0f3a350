"""How a process goes without a request noticing: it says so first, and keeps answering until nobody asks it any more."""

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import problem

READY = "/readyz"


class Withdrawal:
    """Whether this process is on its way out."""

    def __init__(self) -> None:
        self.begun = False

    def begin(self) -> None:
        self.begun = True


class WithdrawalNotice:
    """From then on `/readyz` is 503, and every answer asks its caller to come back on another connection.

    A connection that is closed while idle can cross with the next request on it, and that request is lost. One that its caller was
    told to close cannot.
    """

    def __init__(self, app: ASGIApp, withdrawal: Withdrawal) -> None:
        self._app = app
        self._withdrawal = withdrawal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._withdrawal.begun:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if self._withdrawal.begun and scope["path"] == READY:
            await _not_ready(scope["state"]["request_id"])(scope, receive, closing)
        else:
            await self._app(scope, receive, closing)


def _not_ready(request_id: str) -> ASGIApp:
    message = "This process must stay to be ready. Received: it was told to stop and takes no new callers."
    return problem(
        request_id,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "stopping",
        message,
        "Ask another replica; open connections are still answered.",
    )
