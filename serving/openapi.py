"""What the OpenAPI page says beside the types: how a route fails, which headers an answer has, where an answer leads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute

from serving.request_id import HEADER, SANE
from serving.schemas import Problem

_REQUEST_ID = {
    HEADER: {
        "description": "Of this request; the log knows it by this id.",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{SANE}$", "examples": ["9f1c6a50b1d94f2a"]},
    }
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until it is worth asking again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "examples": [5]},
    }
}
_BEARER = {
    "WWW-Authenticate": {"description": "How to identify.", "required": True, "schema": {"enum": ["Bearer"]}},
}


@dataclass(frozen=True)
class _Failure:
    text: str
    error: str
    message: str
    remedy: str
    headers: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        example = Problem(error=self.error, message=self.message, remedy=self.remedy, request_id="9f1c6a50b1d94f2a")
        return {
            "model": Problem,
            "description": self.text,
            "headers": {**_REQUEST_ID, **self.headers},
            "content": {"application/json": {"example": example.model_dump(mode="json")}},
        }


_FAILURES = {
    HTTPStatus.UNAUTHORIZED: _Failure(
        "No live API key was sent.",
        "no_key",
        "This path needs an API key. Received: no key.",
        "Send `Authorization: Bearer <key>`.",
        _BEARER,
    ),
    HTTPStatus.FORBIDDEN: _Failure(
        "The key lacks the scope this needs.",
        "forbidden",
        "This needs a key with the scope `admin`. Received: a key with read.",
        "Use a key that has it; `python -m serving.security new-key` makes one.",
    ),
    HTTPStatus.NOT_FOUND: _Failure(
        "There is no such thing; the body says what was looked for.",
        "unknown_product",
        "Expected an item of this bundle's catalogue (4070 items). Received: '85123Z'.",
        "Ask for a product of the live catalogue; a new one is known after the next release.",
    ),
    HTTPStatus.REQUEST_TIMEOUT: _Failure(
        "The body did not arrive in time.",
        "slow_body",
        "A body must arrive within 10 s. Received: a part of one.",
        "Send it again, in one go.",
    ),
    HTTPStatus.GONE: _Failure(
        "What made the answer is no longer kept, or was kept in a form of long ago.",
        "release_gone",
        "Expected the release 2026-03-02-0a1b2c3d4e5f to be kept. Received: none of that version.",
        "Keep more releases if older lists must be explained.",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _Failure(
        "The body is longer than allowed.",
        "body_too_large",
        "A body may have 1048576 bytes. Received: more.",
        "Send smaller batches, or raise AISLE_MAX_BODY_BYTES.",
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: _Failure(
        "A parameter is not what it must be; every wrong one is listed.",
        "invalid_request",
        "query.limit: Input should be less than or equal to 100. Received: '500'.",
        "Correct the request; /docs describes every parameter.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: _Failure(
        "The key asks too often; Retry-After says when to ask again.",
        "too_many_requests",
        "A key may ask 500 times a second, 1000 at once. Received: more.",
        "Wait as long as Retry-After says, or raise AISLE_RATE_PER_SECOND.",
        _RETRY_AFTER,
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: _Failure(
        "What is needed to answer is away or busy; the body says what, Retry-After when to ask again.",
        "no_bundle",
        "A release pointer is expected at .aisle/releases/current.json. Received: no such file.",
        "Run `make demo`, or `aisle run` on your own data.",
        _RETRY_AFTER,
    ),
}

Responses = dict[int | str, dict[str, Any]]


def responses(*statuses: HTTPStatus, leads_to: Mapping[str, Any] | None = None) -> Responses:
    """How a route's answers look: its failures, and what its success carries beside the body.

    Args:
        leads_to: OpenAPI links, what a success can be used for next.
    """
    failures: Responses = {status.value: _FAILURES[status].described() for status in statuses}
    return {HTTPStatus.OK.value: {"headers": _REQUEST_ID, "links": dict(leads_to or {})}, **failures}


GUARDED = responses(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""How every route behind the gate may refuse."""

WITH_BODY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
"""How a route may refuse a body."""


def operation_id(route: APIRoute) -> str:
    """The handler's name: short enough to be a method of a generated client, and for a link to name."""
    return route.name


_REQUEST, _FIRST = "$response.body#/request_id", "$response.body#/recommendations/0/product_id"

FROM_A_LIST = {
    "why": {
        "operationId": "why",
        "parameters": {"request_id": _REQUEST},
        "description": "Why these items.",
    },
    "page_of_first_item": {
        "operationId": "product",
        "parameters": {"item_id": _FIRST},
        "description": "The list on the page of its first item.",
    },
    "bought_with_first_item": {
        "operationId": "frequently_bought_together",
        "parameters": {"item_id": _FIRST},
        "description": "What lay in one basket with its first item.",
    },
    "first_item_in_cart": {
        "operationId": "cart",
        "requestBody": {"item_ids": [_FIRST]},
        "description": "The list for a cart with its first item.",
    },
    "ordered_again": {
        "operationId": "rank",
        "requestBody": {"item_ids": [_FIRST]},
        "description": "Its items in somebody else's order.",
    },
    "clicked": {
        "operationId": "interactions",
        "requestBody": {"item_id": _FIRST, "request_id": _REQUEST, "event_type": "recommendation_click"},
        "description": "A click on its first item, with whose click it was.",
    },
}
"""What can be asked with a list in hand."""
