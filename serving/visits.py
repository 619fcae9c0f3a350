"""What a caller did so far, before a list; what they were shown, after it. Ties the feedback log to the store of visits."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Condition, Thread

from ml.contract.errors import OnlineStoreError
from ml.runtime.answer import RankedList
from ml.runtime.bundle import Bundle
from ml.runtime.state import OnlineState, state_of
from ml.runtime.users import KnownUser
from serving.caller import Caller
from serving.feedback import FeedbackLog, Interaction, ShownItem, ShownList
from serving.feedback.records import microseconds
from serving.online_store import OnlineStore, Visit, subjects_of
from serving.online_store.askers import Askers

REACH = timedelta(days=1)
"""Events known so long before a bundle's cut are offered too: a landing that came late leaves no gap. What the bundle holds counts once."""
DEGRADED = "online_state"
SHORTEST_SECONDS = 0.002
"""With less than this a store elsewhere is not asked."""
SECONDS_TO_REMEMBER = 1.0
"""What was shown, in a store elsewhere; after it the store goes without."""
_LOOK_SECONDS = 0.5
_FIRST_FILL_SECONDS = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownVisit:
    """A caller as a list is made for them."""

    state: OnlineState
    degraded: tuple[str, ...] = ()
    """`online_state` when newer events may be missing."""


class Visits:
    """One per process. Its thread fills the store from the log: at the start, for a release of an older cut, after the store was away."""

    def __init__(self, log: FeedbackLog, store: OnlineStore, *, cut_at: Callable[[], datetime | None]) -> None:
        """
        Args:
            cut_at: of the bundle that answers; None while there is none.
        """
        self._log = log
        self._store = store
        self._askers = Askers()
        self._cut_at = cut_at
        self._changed = Condition()
        self._stopping = False
        self._lacks_since: int | None = None
        self._num_lacks = 0
        self._looked = False
        self._is_filled = False
        self._thread = Thread(target=self._run, name="online-state", daemon=True)

    def start(self) -> None:
        """Fill the store; returns when it is filled, or goes on doing so in the background when that takes long."""
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._looked, _FIRST_FILL_SECONDS)

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        self._askers.stop()
        self._store.close()

    @property
    def is_filled(self) -> bool:
        """Whether lists know of every event since the bundle's cut."""
        return self._is_filled

    async def known(self, caller: Caller, bundle: Bundle, *, within: float) -> KnownVisit:
        """As `of`, without holding up the loop, and in that time whatever holds up the store or whoever else asks it."""
        if self._store.is_local:  # microseconds: less than a thread costs
            return self.of(caller, bundle, within=within)
        try:
            return await self._askers.ask(partial(self.of, caller, bundle, within=within), within=within)
        except OnlineStoreError:
            return _unasked(caller, bundle)

    def of(self, caller: Caller, bundle: Bundle, *, within: float | None = None) -> KnownVisit:
        """The bundle's record of a caller, with what happened since. Without the store: the bundle's record alone, and so marked.

        Args:
            within: seconds the store may take to answer; its own measure when None.
        """
        if within is not None and within < SHORTEST_SECONDS and not self._store.is_local:
            return _unasked(caller, bundle)  # a store that is not asked has not failed
        known = bundle.users.of(caller.known_as)
        try:
            visit = self._store.read(_subjects(caller), known_since_us=_since(bundle_cut(bundle)), within=within)
        except OnlineStoreError:
            self._is_filled = False  # until it was looked at again: it may come back with nothing in it
            return _unasked(caller, bundle)
        if not visit.is_whole:
            self._is_filled = False
        return KnownVisit(_state(bundle, known, visit, caller.asked_at), () if self._is_filled else (DEGRADED,))

    def happened(self, events: Sequence[Interaction]) -> tuple[str, ...]:
        """Events the log holds now; whatever is not reached by them is named."""
        try:
            self._store.append(events)
        except OnlineStoreError:
            self._lacks(min(event.received_at_us for event in events))
            return (DEGRADED,)
        return ()

    async def shown(
        self,
        caller: Caller,
        answer: RankedList,
        *,
        surface: str,
        stages_ms: Mapping[str, float],
        trace: Callable[[], str] = lambda: "{}",
    ) -> None:
        """Write a list down and remember its items as shown. Called after the list has gone out, and never fails for want of a database.

        Args:
            trace: makes what `FeedbackLog.trace_of` gives back later, as JSON.
        """
        at_us = microseconds(caller.asked_at)
        self._log.shown(
            ShownList(
                request_id=caller.request_id,
                surface=surface,
                bundle_version=answer.bundle_version,
                shown_at_us=at_us,
                items=tuple(ShownItem(i.item_id, i.position, i.source, i.propensity) for i in answer.items),
                user_id=caller.known_as,
                session_id=caller.session,
                trace=trace,
                stages_ms=stages_ms,
            )
        )
        subjects = _subjects(caller)
        if subjects and self._store.is_local:  # microseconds: less than a thread costs
            self._remember(subjects, answer, at_us)
        elif subjects:
            with suppress(OnlineStoreError):
                remember = partial(self._remember, subjects, answer, at_us)
                await self._askers.ask(remember, within=SECONDS_TO_REMEMBER)

    def _remember(self, subjects: Sequence[str], answer: RankedList, at_us: int) -> None:
        try:
            self._store.remember_shown(subjects, [item.item_id for item in answer.items], at_us=at_us)
        except OnlineStoreError as error:
            logger.debug("Shown items not remembered: %s", error)

    def _lacks(self, since_us: int) -> None:
        with self._changed:
            self._lacks_since = since_us if self._lacks_since is None else min(self._lacks_since, since_us)
            self._num_lacks += 1
            self._is_filled = False

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._fill()
            except Exception as error:  # noqa: BLE001 - a thread that died of one strange row would leave lists stale for good
                logger.warning("Visits are not up to date: %s", str(error) or repr(error))
            with self._changed:
                self._looked = True
                self._changed.notify_all()
                if not self._stopping:
                    self._changed.wait(_LOOK_SECONDS)

    def _fill(self) -> None:
        """Put into the store what it may lack."""
        cut_at = self._cut_at()
        if cut_at is None:
            return
        needed, filled = _since(cut_at), self._store.filled_since()
        if filled is None or filled > needed:
            self._lacks(needed)
            filled = needed
        with self._changed:  # both at one instant: an event missed in between would count as looked after
            since, num_lacks = self._lacks_since, self._num_lacks
        if since is not None:
            for events in self._log.events_known_since(since):
                self._store.append(events)
                if self._stopping:
                    return
            self._store.mark_filled(filled)
        with self._changed:
            if self._num_lacks == num_lacks:  # else an event was missed meanwhile: once more
                self._lacks_since, self._is_filled = None, True


def _unasked(caller: Caller, bundle: Bundle) -> KnownVisit:
    return KnownVisit(OnlineState.of_record(bundle, bundle.users.of(caller.known_as)), (DEGRADED,))


def bundle_cut(bundle: Bundle) -> datetime:
    assert bundle.manifest is not None  # `open_bundle` always reads one
    return bundle.manifest.facts.cut_at


def _state(bundle: Bundle, known: KnownUser, visit: Visit, now: datetime) -> OnlineState:
    if not visit.events and not visit.shown:
        return OnlineState.of_record(bundle, known)
    return state_of(bundle, known, visit.events, now, recently_shown=visit.shown)


def _since(cut_at: datetime) -> int:
    return microseconds(cut_at - REACH)


def _subjects(caller: Caller) -> list[str]:
    return subjects_of(user=caller.known_as, session=caller.session)
