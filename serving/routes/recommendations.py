"""Lists for a shop's pages."""

from http import HTTPStatus

from fastapi import APIRouter

from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest
from serving.caller import CalledBy
from serving.dependencies import ItemId, Limit, Release
from serving.problems import responses
from serving.schemas import RecommendationList

# Handlers are plain functions, so each runs in a thread: 0.25 ms of CPU more than a coroutine would cost, but a slow list never makes
# a probe or another list wait, and the native parts (ONNX, index, ranker) let other threads run.
router = APIRouter(prefix="/api/v1/recommendations", tags=["recommendations"])


@router.get(
    "/homepage",
    summary="A list for one user",
    responses=responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def homepage(release: Release, caller: CalledBy, limit: Limit = 12) -> RecommendationList:
    """Up to `limit` items, best first. Unknown users get the popular list: `context.personalised` is false and every `source` is `popular`."""
    answer = recommend(release.bundle, HomeRequest(user_id=caller.known_as, limit=limit), now=caller.asked_at)
    return RecommendationList.of(answer, release.bundle, caller)


@router.get(
    "/product/{item_id:path}",
    summary="A list for one product's page",
    responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def product(release: Release, caller: CalledBy, item_id: ItemId, limit: Limit = 12) -> RecommendationList:
    """Up to `limit` items that go with a product, best first, never the product itself."""
    request = ProductRequest(item_id=item_id, user_id=caller.known_as, limit=limit)
    answer = recommend(release.bundle, request, now=caller.asked_at)
    return RecommendationList.of(answer, release.bundle, caller, item_id=item_id)
