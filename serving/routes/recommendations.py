"""Lists for a shop's pages."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from ml.runtime.requests import BoughtTogetherRequest, CartRequest, HomeRequest, ProductRequest
from serving.caller import caller_of
from serving.dependencies import ItemId
from serving.list_requests import Asked, Cart
from serving.lists import Lists
from serving.openapi import FROM_A_LIST, GUARDED, WITH_BODY, responses
from serving.rendered import list_response
from serving.schemas import RecommendationList
from serving.security import READ

router = APIRouter(prefix="/api/v1/recommendations", tags=["recommendations"], dependencies=[READ], responses=GUARDED)

_LIST = responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE, leads_to=FROM_A_LIST)
_LIST_ABOUT_AN_ITEM = _LIST | responses(HTTPStatus.NOT_FOUND, leads_to=FROM_A_LIST)


@router.get("/homepage", summary="A list for one user", response_model=RecommendationList, responses=_LIST)
async def homepage(lists: Lists, http: Request, asked: Asked) -> Response:
    """Up to `limit` items, best first. A user nobody knows, in a session that did nothing, gets the popular list:
    `context.personalised` is false and every `source` is `popular`."""
    caller = caller_of(http, asked.user_id, asked.session_id)
    request = HomeRequest(user_id=caller.known_as, limit=asked.limit, **asked.wishes.fields())
    return list_response(await lists.made(request, caller), lists.release.bundle, caller)


@router.get(
    "/product/{item_id:path}",
    summary="A list for one product's page",
    response_model=RecommendationList,
    responses=_LIST_ABOUT_AN_ITEM,
)
async def product(lists: Lists, http: Request, asked: Asked, item_id: ItemId) -> Response:
    """Up to `limit` items that go with a product, best first, never the product itself."""
    caller = caller_of(http, asked.user_id, asked.session_id)
    request = ProductRequest(item_id=item_id, user_id=caller.known_as, limit=asked.limit, **asked.wishes.fields())
    return list_response(await lists.made(request, caller), lists.release.bundle, caller)


@router.get(
    "/frequently-bought-together/{item_id:path}",
    summary="What lay in one basket with a product",
    response_model=RecommendationList,
    responses=_LIST_ABOUT_AN_ITEM,
)
async def frequently_bought_together(lists: Lists, http: Request, asked: Asked, item_id: ItemId) -> Response:
    """Up to `limit` items: first those bought together with the product, most often first (their scores are above 1), then what
    is like it."""
    caller = caller_of(http, asked.user_id, asked.session_id)
    request = BoughtTogetherRequest(
        item_id=item_id, user_id=caller.known_as, limit=asked.limit, **asked.wishes.fields()
    )
    return list_response(await lists.made(request, caller), lists.release.bundle, caller)


@router.post(
    "/cart",
    summary="A list for a cart",
    response_model=RecommendationList,
    responses=responses(*WITH_BODY, HTTPStatus.SERVICE_UNAVAILABLE, leads_to=FROM_A_LIST),
)
async def cart(lists: Lists, http: Request, body: Cart) -> Response:
    """Up to `limit` items that go with everything in a cart, best first, nothing of the cart itself."""
    caller = caller_of(http, body.user_id, body.session_id)
    request = CartRequest(item_ids=body.item_ids, user_id=caller.known_as, limit=body.limit, **body.wishes.fields())
    return list_response(await lists.made(request, caller), lists.release.bundle, caller)
