"""One row of each kind, as the log takes it. People are pseudonyms here, and instants are whole microseconds since 1970, UTC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ml.contract.events import EventType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """Exact, where `timestamp()` would round.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant_of(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)


@dataclass(frozen=True)
class Interaction:
    """One event somebody caused. `user_id`, `session_id` or both are set."""

    event_id: str
    item_id: str
    event_type: EventType
    occurred_at_us: int
    received_at_us: int
    user_id: str | None = None
    session_id: str | None = None
    quantity: float | None = None
    price: float | None = None
    order_id: str | None = None
    request_id: str | None = None
    """The list it came from."""


@dataclass(frozen=True)
class ShownItem:
    """One place of a list."""

    item_id: str
    position: int
    source: str
    propensity: float
    """Probability that this place held this item; 1 where nothing was left to chance."""


@dataclass(frozen=True)
class ShownList:
    """One list as it left the service, and why it is as it is."""

    request_id: str
    surface: str
    bundle_version: str
    shown_at_us: int
    items: tuple[ShownItem, ...]
    user_id: str | None = None
    session_id: str | None = None
    trace: Callable[[], str] = lambda: "{}"
    """Makes what `explain` tells, as JSON. Called when the list is written: no request waits for it."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Latency by stage."""
