"""The same question, put to another bundle."""

from datetime import UTC, datetime, timedelta

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.events import EVENT_TYPES
from ml.features.history import History
from ml.runtime.answer import RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.recommend import recommend
from ml.runtime.state import Event, state_of
from ml.runtime.trace import RequestTrace, workings_of

OVERLAP = timedelta(days=1)
"""Events so long before the other bundle's cut are offered too; what it holds already counts once."""


def answered_by(other: Bundle, trace: RequestTrace, *, asked: Bundle) -> RankedList:
    """What `other` would have answered at that instant, knowing of the visitor what `asked` knew; nothing left to chance.

    Args:
        asked: the bundle that gave the traced answer.

    Raises:
        ContractError: `other` was put together in memory, so it has no cut.
        UnknownItemError: the list is about an item `other` does not hold.
    """
    if other.manifest is None:
        raise ContractError(f"A comparison needs a bundle with a manifest. Received: {other.version}, made in memory.")
    state = workings_of(asked, trace).inputs.state
    # What came in after `asked` was cut, however long ago it happened, and what its record may have and `other` has not.
    since = int((other.manifest.facts.cut_at - OVERLAP).timestamp())
    newer = state.record.taken(np.flatnonzero(state.record.occurred_at >= since))
    known = other.users.of(trace.request.user_id)
    events = _events_of(newer.then(state.live), asked)
    told = state_of(other, known, events, trace.asked_at, recently_shown=trace.recently_shown)
    return recommend(other, trace.request, state=told, now=trace.asked_at)


def _events_of(history: History, bundle: Bundle) -> list[Event]:
    columns = (history.item_rows, history.event_codes, history.occurred_at, history.quantity)
    return [
        Event(bundle.items.vocabulary.id(row), EVENT_TYPES[code], datetime.fromtimestamp(at, UTC), quantity)
        for row, code, at, quantity in zip(*(column.tolist() for column in columns), strict=True)
    ]
