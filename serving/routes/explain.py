"""Why a list is as it is."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError

from ml.runtime.explain import explain, explain_shown, provenance
from ml.runtime.trace import RequestTrace
from serving.archive import Archive
from serving.dependencies import Feedback, Release
from serving.explain_schemas import WhyTrace
from serving.feedback import FeedbackLog
from serving.openapi import GUARDED, responses
from serving.problems import MissingError
from serving.request_id import SANE
from serving.security import READ

router = APIRouter(prefix="/api/v1", tags=["explanations"], dependencies=[READ], responses=GUARDED)

RequestId = Annotated[
    str, Path(pattern=f"^{SANE}$", description="`request_id` of a list.", examples=["9f1c6a50b1d94f2a"])
]
ProductId = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=256,
        description="One item, shown or not. Left out: every item that was shown.",
        examples=["85123A"],
    ),
]


@router.get(
    "/explain/{request_id}",
    summary="Why these items",
    responses=responses(
        HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
def why(
    request: Request, release: Release, log: Feedback, request_id: RequestId, product_id: ProductId = None
) -> WhyTrace:
    """The steps to one answer, made again from what was written down of it: who proposed each item and how loudly, what the ranker
    made of it, which rules moved or removed it, and which release, data and run that was."""
    trace = kept_trace(log, request_id)
    archive: Archive = request.app.state.archive
    bundle = archive.bundle(trace.bundle_version, live=release.bundle)
    if bundle is None:
        raise MissingError(
            HTTPStatus.GONE,
            "release_gone",
            f"Expected the release {trace.bundle_version} to be kept. Received: none of that version.",
            "Keep more releases if older lists must be explained.",
        )
    items = (explain(bundle, trace, product_id),) if product_id else explain_shown(bundle, trace)
    return WhyTrace.of(trace, items, provenance(bundle))


def kept_trace(log: FeedbackLog, request_id: str) -> RequestTrace:
    """What was written down of a list.

    Raises:
        MissingError: there is no such list, or it was written down by a version that had another form for it.
    """
    kept = log.trace_of(request_id)
    if not kept:
        raise MissingError(
            HTTPStatus.NOT_FOUND,
            "unknown_request",
            f"Expected the request id of a list this service gave. Received: {request_id!r}.",
            "Lists are written down within a second; one that was never asked for here has no explanation.",
        )
    try:
        return RequestTrace.model_validate(kept)
    except ValidationError as error:
        wrong = ", ".join(sorted({str(part["loc"][0]) for part in error.errors() if part["loc"]}))
        raise MissingError(
            HTTPStatus.GONE,
            "trace_of_another_version",
            f"Expected a trace as this version of the service writes it. Received: another one, by its fields {wrong or 'all in all'}.",
            "Ask a service of the version that gave the list; lists of this one can be explained.",
        ) from error
