"""Figures for Prometheus."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from serving.openapi import GUARDED, responses
from serving.security import READ
from serving.security.gate import METRICS
from serving.telemetry import Telemetry
from serving.workers.peers import Peers

_EXAMPLE = "# TYPE aisle_http_requests_in_flight gauge\naisle_http_requests_in_flight 3.0\n"
_FIGURES = responses()
_FIGURES[200] |= {
    "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    "description": "Prometheus' text format.",
}


def router_of(*, public: bool) -> APIRouter:
    """Behind a key unless it is said otherwise: the figures tell a shop's traffic and releases to whoever can read them."""
    router = (
        APIRouter(tags=["probes"]) if public else APIRouter(tags=["probes"], dependencies=[READ], responses=GUARDED)
    )
    router.add_api_route(
        METRICS, metrics, response_class=Response, responses=_FIGURES, summary="Figures of this service"
    )
    return router


async def metrics(request: Request) -> Response:
    """Counters, histograms and gauges, in Prometheus' text format; of several workers each, by the label `worker`. docs/operations.md says
    what they mean."""
    telemetry: Telemetry = request.app.state.telemetry
    peers: Peers | None = request.app.state.peers
    figures = await peers.exposition() if peers else generate_latest(telemetry.metrics.registry)
    return Response(figures, media_type=CONTENT_TYPE_LATEST)
