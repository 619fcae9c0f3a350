"""What came of the lists."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection

from ml.contract.errors import ContractError, FeedbackError
from serving.analytics_schemas import FunnelReport, PerformanceReport
from serving.dependencies import Feedback
from serving.feedback import FeedbackLog
from serving.feedback.analytics import Period, conversion_funnel, performance
from serving.feedback.log import Answer
from serving.openapi import GUARDED, responses
from serving.security import ADMIN

MAX_DAYS = 92
SECONDS_TO_ANSWER = 20.0

# Turnover is nobody's business who merely shows lists: a key in a shop's page reads lists, and not this.
router = APIRouter(
    prefix="/api/v1/analytics",
    tags=["analytics"],
    dependencies=[ADMIN],
    responses=GUARDED | responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)


async def asked_period(
    first_day: Annotated[
        date | None, Query(description="UTC; left out: six days before the last.", examples=["2026-11-15"])
    ] = None,
    last_day: Annotated[date | None, Query(description="UTC; left out: today.", examples=["2026-11-21"])] = None,
) -> Period:
    last = last_day or datetime.now(UTC).date()
    # Far from the ends of the calendar: the day before and the day after a period must exist too.
    if not date(2000, 1, 1) <= last <= date(2200, 1, 1):
        raise ContractError(f"`last_day` must be of our time. Received: {last}.")
    first = first_day or last - timedelta(days=6)
    if not 0 <= (last - first).days < MAX_DAYS:
        raise ContractError(f"A period must have 1 to {MAX_DAYS} days. Received: {first} to {last}.")
    return Period(first, last)


AskedPeriod = Annotated[Period, Depends(asked_period)]
WindowDays = Annotated[
    int,
    Query(
        ge=1,
        le=30,
        description="A purchase that names no list counts for the last click within so many days.",
        examples=[7],
    ),
]


@router.get("/recommendations/performance", summary="What came of the lists")
async def list_performance(log: Feedback, period: AskedPeriod, window_days: WindowDays = 7) -> PerformanceReport:
    """Impressions, clicks, cart adds, purchases and revenue by day, surface and bundle version.

    An event counts for the list it names by `request_id`. A cart add or purchase that names none counts for the place the same visitor clicked
    last for that item within `window_days`. All of it counts on the day the list was shown.
    """
    rows = await _told(log, partial(performance, period=period, window=timedelta(days=window_days)))
    return PerformanceReport.of(rows, period, window_days=window_days, dropped_lists=log.dropped_lists)


@router.get("/conversion-funnel", summary="From view to purchase")
async def funnel(log: Feedback, period: AskedPeriod) -> FunnelReport:
    """Pairs of a visitor and an item: viewed, then put into the cart, then bought, in this order and within the period; from lists or not."""
    steps, bought_otherwise = await _told(log, partial(conversion_funnel, period=period))
    return FunnelReport.of(steps, bought_otherwise, period)


async def _told(log: FeedbackLog, question: Callable[[Connection], Answer]) -> Answer:
    """The log's answer. A thread that waits for a dead server is left to itself; the log lets in only a few."""
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            return await to_thread.run_sync(log.ask, question, abandon_on_cancel=True)
    except TimeoutError as error:
        raise FeedbackError(
            f"The feedback log must answer within {SECONDS_TO_ANSWER:g} s. Received: nothing. Ask for less, or later."
        ) from error
