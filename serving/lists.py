"""From a request to an answer: what the caller did, one call of `recommend()`, and a note of what was shown."""

from dataclasses import dataclass, replace
from secrets import randbits
from typing import Annotated

from fastapi import BackgroundTasks, Depends

from ml.runtime.answer import RankedList
from ml.runtime.deadline import Deadline
from ml.runtime.recommend import recommend
from ml.runtime.requests import Request
from ml.runtime.trace import RequestTrace
from serving.caller import Caller
from serving.deadline import DeadlineOf
from serving.dependencies import Release, TelemetryOf, VisitsOf
from serving.live_bundle import LiveRelease
from serving.telemetry import Stopwatch, Telemetry
from serving.visits import Visits

VISIT_SHARE = 0.5
"""Of the time that is left, for what the caller did: the list itself needs the rest."""


@dataclass(frozen=True)
class ListMaker:
    """Of one HTTP request: it keeps to one release, so no answer mixes two."""

    release: LiveRelease
    visits: Visits
    telemetry: Telemetry
    deadline: Deadline
    after: BackgroundTasks

    def made(self, request: Request, caller: Caller) -> RankedList:
        """A list of what the bundle knows and of what the caller did since. It is written down after it went out."""
        bundle = self.release.bundle
        watch = Stopwatch()
        visit = self.visits.of(caller, bundle, within=self.deadline.left() * VISIT_SHARE)
        watch.over("visit")
        answer = recommend(
            bundle,
            request,
            state=visit.state,
            now=caller.asked_at,
            seed=randbits(63),
            over=watch.over,
            shedding=self.deadline,
        )
        answer = replace(answer, degraded=(*answer.degraded, *visit.degraded))
        self.after.add_task(self.telemetry.listed, answer, watch)
        self.after.add_task(
            self.visits.shown,
            caller,
            answer,
            surface=request.surface,
            stages_ms=watch.milliseconds,
            trace=lambda: RequestTrace.of(answer, bundle).model_dump(mode="json"),
        )
        return answer


async def list_maker(
    release: Release, visits: VisitsOf, telemetry: TelemetryOf, deadline: DeadlineOf, after: BackgroundTasks
) -> ListMaker:
    return ListMaker(release, visits, telemetry, deadline, after)


Lists = Annotated[ListMaker, Depends(list_maker)]
