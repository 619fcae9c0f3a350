"""The shop's own list in a user's order."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from ml.runtime.requests import RankRequest
from serving.caller import caller_of
from serving.list_requests import ItemsToRank
from serving.lists import Lists
from serving.openapi import FROM_A_LIST, GUARDED, WITH_BODY, responses
from serving.schemas import RankedItems
from serving.security import READ

router = APIRouter(prefix="/api/v1", tags=["recommendations"], dependencies=[READ], responses=GUARDED)


@router.post(
    "/rank",
    summary="Order my list",
    response_model=RankedItems,
    responses=responses(*WITH_BODY, HTTPStatus.SERVICE_UNAVAILABLE, leads_to=FROM_A_LIST),
)
async def rank(lists: Lists, http: Request, body: ItemsToRank) -> Response:
    """The items named, in the order of one user or session; of a stranger, by popularity.

    The rules hold here as on every page: what they forbid is in `removed`, with the rules. `include` brings back what was left
    out for being bought, in the cart or recently shown.
    """
    caller = caller_of(http, body.user_id, body.session_id)
    request = RankRequest(item_ids=body.item_ids, user_id=caller.known_as, limit=body.limit, **body.wishes.fields())
    return RankedItems.of(await lists.made(request, caller), lists.release.bundle, caller).as_response()
