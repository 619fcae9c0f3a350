"""What handlers ask for, as one alias each."""

from typing import Annotated

from fastapi import Depends, Path, Request

from serving.feedback import FeedbackLog
from serving.live_bundle import LiveBundle, LiveRelease
from serving.telemetry import Telemetry
from serving.visits import Visits

ItemId = Annotated[str, Path(min_length=1, max_length=256, description="The shop's own id.", examples=["85123A"])]

# These are coroutines though they wait for nothing: FastAPI sends plain functions to a thread each, which costs more than they do.


async def live_bundle(request: Request) -> LiveBundle:
    live: LiveBundle = request.app.state.live
    return live


async def live_release(live: Annotated[LiveBundle, Depends(live_bundle)]) -> LiveRelease:
    return live.release


async def feedback_log(request: Request) -> FeedbackLog:
    log: FeedbackLog = request.app.state.feedback
    return log


async def visits(request: Request) -> Visits:
    known: Visits = request.app.state.visits
    return known


async def telemetry(request: Request) -> Telemetry:
    told: Telemetry = request.app.state.telemetry
    return told


Live = Annotated[LiveBundle, Depends(live_bundle)]
Release = Annotated[LiveRelease, Depends(live_release)]
Feedback = Annotated[FeedbackLog, Depends(feedback_log)]
VisitsOf = Annotated[Visits, Depends(visits)]
TelemetryOf = Annotated[Telemetry, Depends(telemetry)]
