"""What the console asks beside lists, events and explanations: whom and what to pick, and how another release would have answered."""

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated

import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request

from ml.contract.errors import BundleError
from ml.contract.events import EVENT_TYPES
from ml.features.history import History
from ml.runtime.bundle import Bundle
from ml.runtime.compare import answered_by
from serving.archive import Archive
from serving.caller import CalledBy, caller_of
from serving.dependencies import Feedback, Release, VisitsOf
from serving.feedback.recent import recent_visitors
from serving.inspection_schemas import (
    CatalogueItem,
    FoundItems,
    KeptRelease,
    KeptReleases,
    PastEvent,
    PastEvents,
    Visitors,
)
from serving.openapi import GUARDED, responses
from serving.problems import MissingError
from serving.request_id import SANE
from serving.routes.explain import kept_trace
from serving.schemas import RecommendationList
from serving.security import ADMIN

# What one person did, and what can cost a second release's memory, is for whoever runs the shop, not for a key in a shop's page.
router = APIRouter(
    prefix="/api/v1/inspection",
    tags=["inspection"],
    dependencies=[ADMIN],
    responses=GUARDED | responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)

Few = Annotated[int, Query(ge=1, le=100, description="How many of each.", examples=[12])]


@router.get("/visitors", summary="People to pick from")
def visitors(release: Release, log: Feedback, limit: Few = 12) -> Visitors:
    """Who was here lately, and a sample of the users the release knows. The service knows people by pseudonyms only; a key with the scope
    `admin` may use these wherever a user or session id is asked for."""
    return Visitors.of(log.ask(partial(recent_visitors, limit=limit)), release.bundle, limit=limit)


@router.get("/items", summary="Items to pick from")
def items(
    release: Release,
    search: Annotated[
        str,
        Query(max_length=100, description="Part of a name or an id, in any case; left out: all.", examples=["lamp"]),
    ] = "",
    limit: Few = 12,
) -> FoundItems:
    """Items whose name or id holds the words, the most popular first; those that are sold out or hidden too."""
    bundle = release.bundle
    return FoundItems(items=tuple(CatalogueItem.at(row, bundle) for row in _found(bundle, search)[:limit]))


@router.get("/history", summary="What somebody did")
def history(release: Release, known: VisitsOf, caller: CalledBy, limit: Few = 50) -> PastEvents:
    """The events a list of this user or session is made from: those of the release, and those since."""
    bundle = release.bundle
    visit = known.of(caller, bundle)
    record, live = visit.state.record, visit.state.live
    events = [*_past(record, bundle, limit, is_live=False), *_past(live, bundle, limit, is_live=True)]
    events.sort(key=lambda event: event.occurred_at)  # stable: of one second, what came last stays last
    return PastEvents(
        events=tuple(reversed(events[-limit:])),
        total=len(record) + len(live),
        live=len(live),
        bundle_version=bundle.version,
        degraded=visit.degraded,
    )


@router.get("/releases", summary="Releases to compare with")
def releases(request: Request, release: Release) -> KeptReleases:
    """Every release this machine holds. A store of releases elsewhere may hold more."""
    archive: Archive = request.app.state.archive
    kept = [_kept(archive, version, live=release.bundle.version) for version in archive.versions()]
    oldest = datetime.min.replace(tzinfo=UTC)
    kept.sort(key=lambda one: (one.is_live, one.cut_at or oldest, one.bundle_version), reverse=True)
    return KeptReleases(releases=tuple(kept))


@router.get(
    "/comparison",
    summary="How another release would have answered",
    responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.GONE),
)
def comparison(
    request: Request,
    release: Release,
    log: Feedback,
    request_id: Annotated[
        str,
        Query(pattern=f"^{SANE}$", description="Of a list the live release gave.", examples=["9f1c6a50b1d94f2a"]),
    ],
    version: Annotated[
        str,
        Query(
            pattern=r"^[\w-][\w.-]*$",
            max_length=128,
            description="One of `releases`.",
            examples=["2026-03-01-0a1b2c3d4e5f"],
        ),
    ],
) -> RecommendationList:
    """The same question at the same instant about the same events, answered by another release. Nothing of it is written down.

    One release beside the live one is held open, the one asked for last; it is verified before it answers.
    """
    trace = kept_trace(log, request_id)
    asked = release.bundle
    if trace.bundle_version != asked.version:
        raise _gone(
            "release_not_live", f"Expected a list of the live release {asked.version}", f"one of {trace.bundle_version}"
        )
    other = _opened(request.app.state.archive, version, live=asked)
    return RecommendationList.of(answered_by(other, trace, asked=asked), other, caller_of(request, None, None))


def _found(bundle: Bundle, search: str) -> list[int]:
    """Rows of the items whose name or id holds the words, the most popular first."""
    order = bundle.sources.popularity.order
    words = search.strip()
    if words:
        table = bundle.items.table
        found = [
            pc.match_substring(table[name], words, ignore_case=True).fill_null(False) for name in ("title", "item_id")
        ]
        order = order[pc.or_(*found).to_numpy()[order]]
    rows: list[int] = order[:100].tolist()
    return rows


def _past(events: History, bundle: Bundle, limit: int, *, is_live: bool) -> list[PastEvent]:
    """The last of them, oldest first."""
    columns = (events.item_rows[-limit:], events.event_codes[-limit:], events.occurred_at[-limit:])
    return [
        PastEvent(
            item=CatalogueItem.at(row, bundle),
            event_type=EVENT_TYPES[code],
            occurred_at=datetime.fromtimestamp(at, UTC),
            is_live=is_live,
        )
        for row, code, at in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _kept(archive: Archive, version: str, *, live: str) -> KeptRelease:
    try:
        return KeptRelease.of(archive.manifest(version), live=live)
    except BundleError as error:
        return KeptRelease.damaged(version, str(error))


def _opened(archive: Archive, version: str, *, live: Bundle) -> Bundle:
    """A release that is kept and whole.

    Raises:
        MissingError: it is neither.
    """
    try:
        bundle = archive.bundle(version, live=live)
    except BundleError as error:
        raise _gone("release_damaged", f"Expected release {version} to be whole", str(error)) from error
    if bundle is None:
        raise _gone("release_gone", f"Expected a release that is kept: {', '.join(archive.versions())}", version)
    return bundle


def _gone(error: str, expected: str, received: str) -> MissingError:
    remedy = "Ask for the list again, or compare with one of GET /api/v1/inspection/releases."
    return MissingError(HTTPStatus.GONE, error, f"{expected}. Received: {received}.", remedy)
