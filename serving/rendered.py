"""A list as it goes out. The same bytes as `RecommendationList` dumps, without an object of pydantic for each item and a check of what we made."""

from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from ml.runtime.answer import RankedItem, RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.requests import BoughtTogetherRequest, ProductRequest
from serving.caller import Caller


def list_response(answer: RankedList, bundle: Bundle, caller: Caller) -> Response:
    return Response(rendered(answer, bundle, caller), media_type="application/json")


def rendered(answer: RankedList, bundle: Bundle, caller: Caller) -> bytes:
    """`RecommendationList.of(...)` as JSON; a test holds the two together."""
    request = answer.made_from.request
    return to_json(
        {
            "recommendations": [_item(item, bundle) for item in answer.items],
            "context": {
                "surface": request.surface,
                "personalised": answer.personalised,
                "product_id": request.item_id if isinstance(request, (ProductRequest, BoughtTogetherRequest)) else None,
            },
            "user_id": caller.user_id,
            "request_id": caller.request_id,
            "generated_at": caller.asked_at,
            "bundle_version": answer.bundle_version,
            "degraded": answer.degraded,
        }
    )


def _item(item: RankedItem, bundle: Bundle) -> dict[str, Any]:
    shown = bundle.display(item.item_row)
    return {
        "product_id": item.item_id,
        "name": shown.title,
        "category": shown.category,
        "price": shown.price,
        "image_url": shown.image_url,
        "score": item.score,
        "position": item.position,
        "source": item.source,
        "sources": item.sources,
        "propensity": item.propensity,
    }
