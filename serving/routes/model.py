"""Which bundle answers."""

from http import HTTPStatus

from fastapi import APIRouter

from serving.dependencies import Release
from serving.openapi import GUARDED, responses
from serving.schemas import ModelFacts
from serving.security import READ

router = APIRouter(prefix="/api/v1", tags=["model"], dependencies=[READ], responses=GUARDED)


@router.get("/model", summary="The bundle that answers", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def model(release: Release) -> ModelFacts:
    """Version, data window and sizes of the one release every answer comes from right now."""
    return ModelFacts.of(release)
