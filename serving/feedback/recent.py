"""Who was here lately."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from serving.feedback.records import instant_of
from serving.feedback.schema import interactions

LOOKED_AT = 2_000
"""Newest events that are looked at: the answer costs the same however long the log is."""


@dataclass(frozen=True)
class RecentVisitor:
    """A user, or a session of nobody known; pseudonyms."""

    user: str | None
    session: str | None
    events: int
    """Among the newest of the log."""
    last_event_at: datetime


def recent_visitors(connection: Connection, *, limit: int) -> list[RecentVisitor]:
    """Whoever did something last, the latest first. A session counts for its user where it has one."""
    table = interactions.c
    newest = (
        select(table.user_id, table.session_id, table.received_at_us)
        .order_by(table.received_at_us.desc())
        .limit(LOOKED_AT)
    )
    events: Counter[tuple[str | None, str | None]] = Counter()
    last: dict[tuple[str | None, str | None], int] = {}
    for row in connection.execute(newest):
        visitor = (row.user_id, None if row.user_id else row.session_id)
        events[visitor] += 1
        last.setdefault(visitor, row.received_at_us)
    return [
        RecentVisitor(*visitor, events[visitor], instant_of(at_us)) for visitor, at_us in list(last.items())[:limit]
    ]
