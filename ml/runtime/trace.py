"""What is kept of an answer: not its features but what they were computed from, so that recomputing them proves they are the same."""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Annotated, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import BundleError
from ml.contract.events import EVENT_TYPES, EventType
from ml.features.history import History
from ml.runtime.answer import Inputs, RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.deadline import Shed
from ml.runtime.recommend import Workings, worked_out
from ml.runtime.requests import Request
from ml.runtime.rules import Rules
from ml.runtime.state import OnlineState


class LiveEvent(NamedTuple):
    """An event the bundle's record did not hold."""

    item_id: str
    event_type: EventType
    occurred_at: int
    quantity: float


class ShownItem(NamedTuple):
    """One place of the answer, in order."""

    item_id: str
    score: float
    source: str
    propensity: float


class RequestTrace(BaseModel):
    """One answer, compact enough to be kept for each request. With the bundle it names, it gives the whole answer again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle_version: str
    request: Annotated[Request, Field(discriminator="surface")]
    asked_at: datetime
    seed: int | None
    live: tuple[LiveEvent, ...]
    recently_shown: dict[str, datetime]
    history_digest: str = Field(description="Of the whole history, the bundle's record included.")
    degraded: tuple[str, ...] = Field(description="What was left out; an answer made again leaves out the same.")
    shown: tuple[ShownItem, ...]

    @classmethod
    def of(cls, answer: RankedList, bundle: Bundle) -> Self:
        """Of an answer `bundle` gave."""
        inputs = answer.made_from
        return cls(
            bundle_version=answer.bundle_version,
            request=inputs.request,
            asked_at=inputs.now,
            seed=inputs.seed,
            live=_live_events(inputs.state.live, bundle),
            recently_shown=_that_count(inputs, bundle.settings.rules),
            history_digest=digest(inputs.state.history),
            degraded=answer.degraded,
            shown=tuple(ShownItem(item.item_id, item.score, item.source, item.propensity) for item in answer.items),
        )

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, said: str | bytes) -> Self:
        return cls.model_validate_json(said)


def replayed(bundle: Bundle, trace: RequestTrace) -> RankedList:
    """The traced answer, made again from its inputs.

    Raises:
        BundleError: the trace is of another bundle.
    """
    return workings_of(bundle, trace).answer()


def workings_of(bundle: Bundle, trace: RequestTrace) -> Workings:
    """Every step to the traced answer."""
    if trace.bundle_version != bundle.version:
        raise BundleError(
            f"The trace needs bundle {trace.bundle_version}. Received: {bundle.version}. Open the release the trace names."
        )
    state = OnlineState(
        bundle_version=bundle.version,
        record=bundle.users.of(trace.request.user_id).history,
        live=_history(trace.live, bundle),
        recently_shown=trace.recently_shown,
    )
    return worked_out(bundle, Inputs(trace.request, state, trace.asked_at, trace.seed), shedding=Shed(trace.degraded))


def digest(history: History) -> str:
    """Equal for equal histories; 16 hexadecimal digits."""
    hashed = blake2b(digest_size=8)
    for column in (history.item_rows, history.event_codes, history.occurred_at, history.quantity):
        hashed.update(np.ascontiguousarray(column).tobytes())
    return hashed.hexdigest()


def _that_count(inputs: Inputs, rules: Rules) -> dict[str, datetime]:
    """The shown items that the rules look at: a store remembers hundreds, a trace is kept for each request."""
    hours = rules.recently_shown_hours
    return {} if hours is None else inputs.state.shown_since(inputs.now - timedelta(hours=hours))


def _live_events(live: History, bundle: Bundle) -> tuple[LiveEvent, ...]:
    columns = (live.item_rows, live.event_codes, live.occurred_at, live.quantity)
    return tuple(
        LiveEvent(bundle.items.vocabulary.id(row), EVENT_TYPES[code], occurred_at, quantity)
        for row, code, occurred_at, quantity in zip(*(column.tolist() for column in columns), strict=True)
    )


def _history(events: tuple[LiveEvent, ...], bundle: Bundle) -> History:
    return History(
        np.array([bundle.items.row(event.item_id) for event in events], np.int32),
        np.array([event.event_type.code for event in events], np.int8),
        np.array([event.occurred_at for event in events], np.int64),
        np.array([event.quantity for event in events], np.float32),
    )
