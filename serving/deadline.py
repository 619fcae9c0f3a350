"""How long a list may take. The time begins when a request is here, so waiting for a thread is part of it."""

from time import monotonic
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.types import ASGIApp, Receive, Scope, Send

from ml.runtime.deadline import Deadline

HEADER = "X-Deadline-Ms"


class Arrivals:
    """Notes when a request was here, its whole body included: a slow sender's time is his own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["arrived_at"] = monotonic()
        await self._app(scope, receive, send)


async def deadline(
    request: Request,
    x_deadline_ms: Annotated[
        int | SkipJsonSchema[None],
        Header(
            ge=1,
            le=60_000,
            description="Milliseconds this list has; the service's own deadline when that is shorter, or when left out.",
            examples=[50],
        ),
    ] = None,
) -> Deadline:
    own: float = request.app.state.settings.deadline_ms
    milliseconds = own if x_deadline_ms is None else min(own, x_deadline_ms)
    return Deadline(milliseconds / 1000, clock=monotonic, began_at=request.state.arrived_at)


DeadlineOf = Annotated[Deadline, Depends(deadline)]
