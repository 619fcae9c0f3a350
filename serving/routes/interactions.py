"""What people did. Acknowledged when it is on the disk, and not before."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from ml.contract.errors import FeedbackError
from serving.caller import Pseudonyms
from serving.dependencies import Feedback, TelemetryOf, VisitsOf
from serving.feedback import FeedbackLog, Interaction
from serving.feedback.records import microseconds
from serving.feedback_schemas import (
    InteractionBatch,
    InteractionReceipt,
    Interactions,
    InteractionVerdict,
    NewInteraction,
)
from serving.openapi import GUARDED, WITH_BODY, responses
from serving.security import WRITE

SECONDS_TO_COMMIT = 5.0
"""Longer than a busy database needs. After it the caller is told to send again, which is harmless."""

_LONGEST_REASON = 500

router = APIRouter(prefix="/api/v1", tags=["feedback"], dependencies=[WRITE], responses=GUARDED)


@router.post(
    "/interactions",
    summary="What people did",
    responses=responses(*WITH_BODY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def interactions(
    body: Interactions, request: Request, log: Feedback, visits: VisitsOf, telemetry: TelemetryOf
) -> InteractionReceipt:
    """One interaction, or up to a thousand of them. After a 200, what it calls accepted survives a crash, and the same user's next list knows of it.

    The same `event_id` again is a `duplicate` and changes nothing: whatever was not answered can be sent again.
    """
    now, names = datetime.now(UTC), Pseudonyms.of(request)
    rows = (
        _rows_of_batch(body, now=now, names=names) if isinstance(body, InteractionBatch) else [_row(body, now, names)]
    )
    events = [row for row in rows if isinstance(row, Interaction)]
    degraded: tuple[str, ...] = ()
    are_new: Iterator[bool] = iter(())
    if events:
        with telemetry.metrics.commit_seconds.time():
            are_new = iter(await _committed(log, events))
        # Duplicates too: the first time they came, the process may have died between the log and the store.
        degraded = await run_in_threadpool(visits.happened, events)
    verdicts = tuple(_verdict(row, are_new) for row in rows)
    telemetry.metrics.received(Counter(verdict.status for verdict in verdicts))
    return InteractionReceipt.of(verdicts, degraded=degraded, request_id=request.state.request_id)


async def _committed(log: FeedbackLog, events: list[Interaction]) -> list[bool]:
    """Whether each event is new, once all of them are durable."""
    try:
        async with asyncio.timeout(SECONDS_TO_COMMIT):
            return await asyncio.wrap_future(log.add(events))
    except TimeoutError as error:
        raise FeedbackError(
            f"The feedback log must take events within {SECONDS_TO_COMMIT:g} s. Received: no word from its database. Send them again."
        ) from error


def _row(new: NewInteraction, now: datetime, names: Pseudonyms) -> Interaction:
    """An interaction as the log holds it.

    Raises:
        RequestValidationError: it happened at a time that cannot be.
    """
    try:
        occurred_at = new.instant(now=now)
    except ValueError as error:
        wrong = {
            "type": "value_error",
            "loc": ("body", "occurred_at"),
            "msg": str(error),
            "input": str(new.occurred_at),
        }
        raise RequestValidationError([wrong]) from error
    row = Interaction(
        event_id=new.event_id or "",
        item_id=new.item_id,
        event_type=new.event_type,
        occurred_at_us=microseconds(occurred_at),
        received_at_us=microseconds(now),
        user_id=None if new.user_id is None else names.user(new.user_id),
        session_id=None if new.session_id is None else names.session(new.session_id),
        quantity=new.quantity,
        price=new.price,
        order_id=new.order_id,
        request_id=new.request_id,
    )
    return row if new.event_id else replace(row, event_id=_id_of_content(row))


def _id_of_content(row: Interaction) -> str:
    facts = {name: value for name, value in vars(row).items() if name not in ("event_id", "received_at_us")}
    return f"c-{sha256(json.dumps(facts).encode()).hexdigest()[:32]}"


def _rows_of_batch(batch: InteractionBatch, *, now: datetime, names: Pseudonyms) -> list[Interaction | str]:
    """Each interaction as the log holds it, or why it is rejected."""
    rows: list[Interaction | str] = []
    for fields in batch.interactions:
        try:
            rows.append(_row(NewInteraction.model_validate(fields), now, names))
        except (ValidationError, RequestValidationError) as error:
            rows.append(" ".join(f"{_place(part['loc'])}: {part['msg']}." for part in error.errors())[:_LONGEST_REASON])
    return rows


def _place(loc: tuple[int | str, ...]) -> str:
    return str(loc[-1]) if loc else "interaction"


def _verdict(row: Interaction | str, are_new: Iterator[bool]) -> InteractionVerdict:
    if isinstance(row, str):
        return InteractionVerdict(status="rejected", reason=row)
    return InteractionVerdict(status="accepted" if next(are_new) else "duplicate", event_id=row.event_id)
