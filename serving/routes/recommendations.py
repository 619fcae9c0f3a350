"""Lists for a shop's pages."""

from dataclasses import replace
from http import HTTPStatus

from fastapi import APIRouter, BackgroundTasks

from ml.runtime.answer import RankedList
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest, Request
from serving.caller import CalledBy, Caller
from serving.dependencies import ItemId, Limit, Release, VisitsOf
from serving.live_bundle import LiveRelease
from serving.problems import GUARDED, responses
from serving.schemas import RecommendationList
from serving.security import READ
from serving.visits import Visits

# Handlers are plain functions, so each runs in a thread: 0.25 ms of CPU more than a coroutine would cost, but a slow list never makes
# a probe or another list wait, and the native parts (ONNX, index, ranker) let other threads run.
router = APIRouter(prefix="/api/v1/recommendations", tags=["recommendations"], dependencies=[READ], responses=GUARDED)


@router.get(
    "/homepage",
    summary="A list for one user",
    responses=responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def homepage(
    release: Release, caller: CalledBy, visits: VisitsOf, after: BackgroundTasks, limit: Limit = 12
) -> RecommendationList:
    """Up to `limit` items, best first. Unknown users get the popular list: `context.personalised` is false and every `source` is `popular`."""
    request = HomeRequest(user_id=caller.known_as, limit=limit)
    answer = _answered(request, release, caller, visits)
    after.add_task(visits.shown, caller, answer, surface="homepage")
    return RecommendationList.of(answer, release.bundle, caller)


@router.get(
    "/product/{item_id:path}",
    summary="A list for one product's page",
    responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def product(
    release: Release, caller: CalledBy, visits: VisitsOf, after: BackgroundTasks, item_id: ItemId, limit: Limit = 12
) -> RecommendationList:
    """Up to `limit` items that go with a product, best first, never the product itself."""
    request = ProductRequest(item_id=item_id, user_id=caller.known_as, limit=limit)
    answer = _answered(request, release, caller, visits)
    after.add_task(visits.shown, caller, answer, surface="product")
    return RecommendationList.of(answer, release.bundle, caller, item_id=item_id)


def _answered(request: Request, release: LiveRelease, caller: Caller, visits: Visits) -> RankedList:
    """A list made of what the bundle knows and of what the caller did since."""
    visit = visits.of(caller, release.bundle)
    answer = recommend(release.bundle, request, state=visit.state, now=caller.asked_at)
    return replace(answer, degraded=(*answer.degraded, *visit.degraded))
