"""Probes."""

from http import HTTPStatus

from fastapi import APIRouter

from serving.dependencies import Live
from serving.openapi import responses
from serving.schemas import Alive, MirrorFacts, Ready, RefusedRelease

router = APIRouter(tags=["probes"])


@router.get("/healthz", summary="Is the process alive?", responses=responses())
async def healthz() -> Alive:
    """Always 200: restart the process if it does not answer."""
    return Alive()


@router.get("/readyz", summary="Can it answer?", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(live: Live) -> Ready:
    """200 while a bundle answers. `refused` says why a newer release does not, `mirror` whether one could have been missed."""
    refused = RefusedRelease.of(live.refusal) if live.refusal else None
    mirror = MirrorFacts.of(live.mirror) if live.mirror else None
    return Ready(bundle_version=live.release.bundle.version, refused=refused, mirror=mirror)
