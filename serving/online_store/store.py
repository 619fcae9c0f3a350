"""What a store of visits promises, whichever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ml.runtime.state import Event
from serving.feedback.records import Interaction, instant_of

EVENTS_KEPT = 500
"""Newest events of one visitor; older ones are the bundle's to know."""
SHOWN_KEPT = 200
"""Newest items shown to one visitor."""


@dataclass(frozen=True)
class Visit:
    """What is known of one caller beside the bundle."""

    events: tuple[Event, ...] = ()
    shown: Mapping[str, datetime] = field(default_factory=dict)
    """When an item was last shown, by item id."""
    is_whole: bool = field(default=True, compare=False)
    """False when the store began anew and is not filled yet."""


class OnlineStore(Protocol):
    """Events and shown items by subject: `u:` and a user's pseudonym, or `s:` and a session's. Thread-safe.

    Each method may raise `OnlineStoreError`, at once or within tens of milliseconds.
    """

    is_local: bool
    """In this process: nothing waits for a network."""

    def append(self, events: Sequence[Interaction]) -> None:
        """Remember events, each under its user and its session. The same event again changes nothing."""
        ...

    def remember_shown(self, subjects: Sequence[str], item_ids: Sequence[str], *, at_us: int) -> None: ...

    def read(self, subjects: Sequence[str], *, known_since_us: int, within: float | None = None) -> Visit:
        """What these subjects did, and saw. An event of two of them counts once.

        Args:
            known_since_us: leaves out what was known before that instant; a bundle knows it.
            within: seconds until `OnlineStoreError` is raised instead; the store's own measure when that is shorter, or when None.
        """
        ...

    def filled_since(self) -> int | None:
        """The instant from which on every event of the log was once put in here; None when it starts from nothing."""
        ...

    def mark_filled(self, since_us: int) -> None: ...

    def close(self) -> None: ...


def subjects_of(*, user: str | None, session: str | None) -> list[str]:
    """Under which names a caller's events lie; the arguments are pseudonyms.

    >>> subjects_of(user="a1", session="b2")
    ['u:a1', 's:b2']
    """
    return [f"{kind}:{name}" for kind, name in (("u", user), ("s", session)) if name is not None]


def known_at_us(event: Interaction) -> int:
    """When the shop first could have known of an event: never before it happened."""
    return max(event.occurred_at_us, event.received_at_us)


def event_of(event: Interaction) -> Event:
    return Event(
        event.item_id,
        event.event_type,
        instant_of(event.occurred_at_us),
        1.0 if event.quantity is None else event.quantity,
    )
