"""From a request to an answer: what the caller did, one call of `recommend()`, and a note of what was shown."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from fastapi import BackgroundTasks, Depends
from fastapi import Request as HttpRequest

from ml.runtime.answer import RankedList
from ml.runtime.deadline import POPULAR, Deadline
from ml.runtime.recommend import recommend
from ml.runtime.requests import Request
from ml.runtime.trace import RequestTrace
from serving.caller import Caller
from serving.chance import CHANCE
from serving.deadline import DeadlineOf
from serving.live_bundle import LiveRelease
from serving.telemetry import Stopwatch, Telemetry
from serving.turns import Turns
from serving.visits import KnownVisit, Visits

VISIT_SHARE = 0.5
"""Of the time that is left, for what the caller did: the list itself needs the rest."""


@dataclass(frozen=True)
class ListMaker:
    """Of one HTTP request: it keeps to one release, so no answer mixes two."""

    release: LiveRelease
    visits: Visits
    telemetry: Telemetry
    deadline: Deadline
    turns: Turns
    takes_turn: bool
    """Else it is made at once, of what is popular: its turn would come too late."""
    after: BackgroundTasks

    async def made(self, request: Request, caller: Caller) -> RankedList:
        """A list of what the bundle knows and of what the caller did since. It is written down after it went out."""
        watch = Stopwatch()
        visit = await self.visits.known(caller, self.release.bundle, within=self.deadline.left() * VISIT_SHARE)
        watch.over("visit")
        make = partial(self._made, request, caller, visit, watch)
        return await self.turns.run(make) if self.takes_turn else make()

    def _made(self, request: Request, caller: Caller, visit: KnownVisit, watch: Stopwatch) -> RankedList:
        watch.over("wait")
        bundle = self.release.bundle
        answer = recommend(
            bundle,
            request,
            state=visit.state,
            now=caller.asked_at,
            seed=CHANCE.number(),
            over=watch.over,
            shedding=self.deadline if self.takes_turn else POPULAR,
        )
        if visit.degraded:
            answer = replace(answer, degraded=(*answer.degraded, *visit.degraded))
        self.after.add_task(self.telemetry.listed, answer, watch)
        self.after.add_task(
            self.visits.shown,
            caller,
            answer,
            surface=request.surface,
            stages_ms=watch.milliseconds,
            trace=lambda: RequestTrace.of(answer, bundle).to_json(),
        )
        return answer


async def list_maker(request: HttpRequest, deadline: DeadlineOf, after: BackgroundTasks) -> ListMaker:
    return list_maker_of(request, deadline, after)


def list_maker_of(request: HttpRequest, deadline: Deadline, after: BackgroundTasks) -> ListMaker:
    # The parts come from the app's state, not by a dependency each: FastAPI takes 30 us for every one of those.
    state = request.app.state
    takes_turn = request.state.takes_turn
    return ListMaker(state.live.release, state.visits, state.telemetry, deadline, state.turns, takes_turn, after)


Lists = Annotated[ListMaker, Depends(list_maker)]
