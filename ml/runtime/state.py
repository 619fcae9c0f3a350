"""What is known of one user or session when they ask: the bundle's record of them, and what happened since it was cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np

from ml.contract.events import EventType
from ml.contract.types import Codes, Rows
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.bundle import Bundle
from ml.runtime.order import distinct
from ml.runtime.users import HISTORY_KEPT, KnownUser


@dataclass(frozen=True)
class Event:
    """Something a user or session did, as the feedback log holds it."""

    item_id: str
    event_type: EventType
    occurred_at: datetime
    """With a time zone."""
    quantity: float = 1.0


@dataclass(frozen=True)
class OnlineState:
    """One user or session, in the item rows of one bundle. Record and live events are all that a list depends on."""

    bundle_version: str
    record: History
    """As the bundle holds it; empty for a stranger."""
    live: History = field(default_factory=History.empty)
    """What `record` does not hold, newest last."""
    recently_shown: Mapping[str, datetime] = field(default_factory=dict)
    """When each item was last shown, by item id."""
    unknown_items: int = 0
    """Events left out because the bundle does not hold their item."""

    @classmethod
    def of_record(cls, bundle: Bundle, user: KnownUser) -> Self:
        """Nothing but what the bundle holds: correct, only staler."""
        return cls(bundle.version, user.history)

    @cached_property
    def history(self) -> History:
        """Record and live events in the order they happened, the newest `HISTORY_KEPT`."""
        if not len(self.live):
            return self.record
        events = self.record.then(self.live)
        return events.taken(np.argsort(events.occurred_at, kind="stable")[-HISTORY_KEPT:])

    def purchased(self, *, since: int | None = None) -> Rows:
        """Items bought at or after the instant `since`, or ever: distinct rows, ascending."""
        rows, codes = self._since(since)
        return distinct(rows[codes == _PURCHASE])

    def shown_since(self, instant: datetime) -> dict[str, datetime]:
        """What was shown at or after an instant."""
        return {item_id: at for item_id, at in self.recently_shown.items() if at >= instant}

    def in_cart(self, *, at: int, kept_days: float) -> Rows:
        """Items put into the cart within `kept_days` and neither taken out nor bought after that: distinct rows, ascending."""
        rows, codes = self._since(at - int(kept_days * SECONDS_PER_DAY))
        if _CART_ADD not in codes.tobytes():
            return np.empty(0, np.int32)
        last = {row: code for row, code in zip(rows.tolist(), codes.tolist(), strict=True) if code in _CART_CODES}
        return np.array(sorted(row for row, code in last.items() if code == _CART_ADD), np.int32)

    def _since(self, instant: int | None) -> tuple[Rows, Codes]:
        """Rows and codes of the events at or after an instant, or of all."""
        history = self.history
        start = 0 if instant is None else int(history.occurred_at.searchsorted(instant))
        return history.item_rows[start:], history.event_codes[start:]


_PURCHASE, _CART_ADD = EventType.PURCHASE.code, EventType.CART_ADD.code
_CART_CODES = frozenset({_CART_ADD, EventType.CART_REMOVE.code, _PURCHASE})


def state_of(
    bundle: Bundle,
    known_user: KnownUser,
    events: Sequence[Event],
    now: datetime,
    *,
    recently_shown: Mapping[str, datetime] | None = None,
) -> OnlineState:
    """The bundle's record of a user, and the events it does not hold.

    An event of an item outside the bundle is counted, not used; one after `now` is not used; one that the record holds
    already (same item, kind and second) counts once, so `events` may reach back before the bundle's cut.

    Args:
        known_user: `bundle.users.of(...)`; that of None for an anonymous session.
        events: of this user or session, each once, in any order.
    """
    past = sorted((event for event in events if event.occurred_at <= now), key=lambda event: event.occurred_at)
    rows = [bundle.items.vocabulary.row(event.item_id) for event in past]
    known = [(row, event) for row, event in zip(rows, past, strict=True) if row >= 0]
    live = History(
        np.array([row for row, _ in known], np.int32),
        np.array([event.event_type.code for _, event in known], np.int8),
        np.array([int(event.occurred_at.timestamp()) for _, event in known], np.int64),
        np.array([event.quantity for _, event in known], np.float32),
    )
    return OnlineState(
        bundle_version=bundle.version,
        record=known_user.history,
        live=_without(live, known_user.history),
        recently_shown=recently_shown or {},
        unknown_items=len(past) - len(known),
    )


def _without(live: History, record: History) -> History:
    """The live events whose item, kind and second the record does not hold."""
    if not len(live):
        return live
    overlap = record.taken(np.arange(np.searchsorted(record.occurred_at, live.occurred_at[0]), len(record)))
    held = set(_keys(overlap))
    return live.taken(np.array([position for position, key in enumerate(_keys(live)) if key not in held], np.int64))


def _keys(history: History) -> list[tuple[int, int, int]]:
    columns = (history.item_rows, history.event_codes, history.occurred_at)
    return list(zip(*(column.tolist() for column in columns), strict=True))
