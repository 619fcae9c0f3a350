"""Errors as answers: one body for all of them."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ml.contract.errors import ContractError, FeedbackError, ReleaseError, UnknownItemError
from serving.request_id import HEADER
from serving.schemas import Detail, Problem
from serving.security.guards import ForbiddenError

RETRY_AFTER_SECONDS = 5
_READ_THE_DOCS = "Correct the request; /docs describes every parameter."
_RUN_THE_DEMO = (
    "Run `make demo`, or `aisle run` on your own data. This service needs no restart: it opens the release by itself."
)

logger = logging.getLogger(__name__)


class MissingError(Exception):
    """What was asked about is not, or no longer, here."""

    def __init__(self, status: HTTPStatus, error: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status, self.error, self.remedy = status, error, remedy


def install(app: FastAPI) -> None:
    """Every error of every route becomes a `Problem`."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        details = tuple(_detail(part) for part in error.errors())
        message = " ".join(f"{part.field}: {part.expected}. Received: {part.received}." for part in details)
        return _problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", message, _READ_THE_DOCS, details)

    @app.exception_handler(ContractError)
    async def _contract(request: Request, error: ContractError) -> Response:
        return _problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", str(error), _READ_THE_DOCS)

    @app.exception_handler(UnknownItemError)
    async def _unknown_item(request: Request, error: UnknownItemError) -> Response:
        remedy = "Ask for a product of the live catalogue; a new one is known after the next release."
        return _problem(request, HTTPStatus.NOT_FOUND, "unknown_product", str(error), remedy)

    @app.exception_handler(ReleaseError)
    async def _no_bundle(request: Request, error: ReleaseError) -> Response:
        answer = _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "no_bundle", str(error), _RUN_THE_DEMO)
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer

    @app.exception_handler(FeedbackError)
    async def _no_feedback(request: Request, error: FeedbackError) -> Response:
        remedy = "Send the same request again: an event with the same event_id counts once."
        answer = _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "feedback_unavailable", str(error), remedy)
        answer.headers["Retry-After"] = "1"
        return answer

    @app.exception_handler(MissingError)
    async def _missing(request: Request, error: MissingError) -> Response:
        return _problem(request, error.status, error.error, str(error), error.remedy)

    @app.exception_handler(ForbiddenError)
    async def _forbidden(request: Request, error: ForbiddenError) -> Response:
        remedy = "Use a key that has it; `python -m serving.security new-key` makes one."
        return _problem(request, HTTPStatus.FORBIDDEN, "forbidden", str(error), remedy)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.BAD_REQUEST:  # FastAPI's, for a body its parser gave up on
            message = "A body must be JSON in UTF-8, not nested hundreds deep. Received: what cannot be read as that."
            return _problem(
                request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", message, "Send JSON; /docs has examples."
            )
        message = f"{status.phrase}: {request.method} {request.url.path}."
        answer = _problem(request, status, status.name.lower(), message, "/docs lists every route and its method.")
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> Response:
        request_id = request.state.request_id
        logger.error("Request %s failed.", request_id, exc_info=error)
        message = "The service failed on a request it should have answered."
        remedy = f"Report it with this request id; the log has the details under {request_id}."
        return _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", message, remedy)


def _problem(
    request: Request, status: HTTPStatus, error: str, message: str, remedy: str, details: tuple[Detail, ...] = ()
) -> Response:
    return problem(request.state.request_id, status, error, message, remedy, details)


def problem(
    request_id: str, status: HTTPStatus, error: str, message: str, remedy: str, details: tuple[Detail, ...] = ()
) -> Response:
    """The answer to a request that is refused."""
    body = Problem(error=error, message=message, remedy=remedy, details=details, request_id=request_id)
    # Set here as well as by the middleware, which a defect's answer does not pass through.
    return Response(body.model_dump_json(), status, {HEADER: request_id}, "application/json")


def _detail(part: Any) -> Detail:
    missing = part["type"] == "missing"
    return Detail(
        field=".".join(str(place) for place in part["loc"]),
        expected=part["msg"],
        received="nothing" if missing else repr(part["input"])[:200],
    )
