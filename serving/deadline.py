"""How long a list may take. The time begins when a request is here, so waiting for a thread is part of it."""

from time import monotonic
from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ml.runtime.deadline import Deadline

HEADER = "X-Deadline-Ms"
LONGEST_MS = 60_000


class Arrivals:
    """Notes when a request was here, its whole body included: a slow sender's time is his own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["arrived_at"] = monotonic()
        await self._app(scope, receive, send)


DeadlineMs = Annotated[
    int,
    Header(
        ge=1,
        le=LONGEST_MS,
        description="Milliseconds this list has; the service's own deadline when that is shorter, or when left out.",
        examples=[50],
    ),
]


async def deadline(request: Request, x_deadline_ms: DeadlineMs = LONGEST_MS) -> Deadline:
    return deadline_of(request, x_deadline_ms)


def deadline_of(request: Request, asked_ms: int) -> Deadline:
    """The caller's, or the service's own when that is shorter."""
    own: float = request.app.state.settings.deadline_ms
    return Deadline(min(own, asked_ms) / 1000, clock=monotonic, began_at=request.state.arrived_at)


DeadlineOf = Annotated[Deadline, Depends(deadline)]
