"""The store in this process's memory: right for one process, filled from the feedback log when it starts."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from serving.feedback.records import Interaction, instant_of
from serving.online_store.store import EVENTS_KEPT, SHOWN_KEPT, Visit, event_of, known_at_us, subjects_of

MAX_SUBJECTS = 200_000
"""The visitors longest away are forgotten first; each takes a kilobyte or so."""

Value = TypeVar("Value")


@dataclass
class _Memory:
    events: dict[str, Interaction] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)


class EmbeddedStore:
    """Bounded in visitors, and in what it keeps of each."""

    is_local = True

    def __init__(self, *, max_subjects: int = MAX_SUBJECTS) -> None:
        self._max_subjects = max_subjects
        self._memories: OrderedDict[str, _Memory] = OrderedDict()
        self._lock = Lock()
        self._filled_since: int | None = None

    def append(self, events: Sequence[Interaction]) -> None:
        with self._lock:
            for event in events:
                for subject in subjects_of(user=event.user_id, session=event.session_id):
                    kept = self._memory(subject).events
                    kept.setdefault(event.event_id, event)
                    _shorten(kept, EVENTS_KEPT)

    def remember_shown(self, subjects: Sequence[str], item_ids: Sequence[str], *, at_us: int) -> None:
        with self._lock:
            for subject in subjects:
                shown = self._memory(subject).shown
                for item_id in item_ids:
                    shown.pop(item_id, None)  # to the end: the order of the dict is the order of showing
                    shown[item_id] = at_us
                _shorten(shown, SHOWN_KEPT)

    def read(
        self,
        subjects: Sequence[str],
        *,
        known_since_us: int,
        within: float | None = None,  # noqa: ARG002 - memory makes nobody wait
    ) -> Visit:
        events: dict[str, Interaction] = {}
        shown: dict[str, int] = {}
        with self._lock:
            for subject in subjects:
                memory = self._memories.get(subject)
                if memory is None:
                    continue
                self._memories.move_to_end(subject)
                events |= memory.events
                for item_id, at_us in memory.shown.items():
                    shown[item_id] = max(at_us, shown.get(item_id, at_us))
        return Visit(
            tuple(event_of(event) for event in events.values() if known_at_us(event) >= known_since_us),
            {item_id: instant_of(at_us) for item_id, at_us in shown.items()},
        )

    def filled_since(self) -> int | None:
        return self._filled_since

    def mark_filled(self, since_us: int) -> None:
        self._filled_since = since_us

    def close(self) -> None:
        self._memories.clear()

    def _memory(self, subject: str) -> _Memory:
        memory = self._memories.setdefault(subject, _Memory())
        self._memories.move_to_end(subject)
        if len(self._memories) > self._max_subjects:
            self._memories.popitem(last=False)
        return memory


def _shorten(kept: dict[str, Value], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
