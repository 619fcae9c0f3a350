"""The store in Redis: shared by every process and replica. A Redis that is away costs a request milliseconds, not its answer."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from ml.contract.errors import OnlineStoreError
from ml.contract.events import EventType
from ml.runtime.state import Event
from serving.feedback.records import Interaction, instant_of
from serving.online_store.breaker import Breaker
from serving.online_store.store import EVENTS_KEPT, SHOWN_KEPT, Visit, event_of, known_at_us, subjects_of
from serving.online_store.timely import Patience, timely

LONGEST_SECONDS = 0.05
"""For one question and its whole answer."""
EVENTS_AT_ONCE = 200
EVENTS_LIVE = timedelta(days=30)
SHOWN_LIVES = timedelta(days=7)
_FILLED = "aisle:filled_since"

Result = TypeVar("Result")


class RedisStore:
    """Two sorted sets for each subject, by time: members are events, or item ids. A read is one round trip."""

    is_local = False

    def __init__(self, url: str) -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError as RedisAwayError
        from redis.exceptions import RedisError
        from redis.exceptions import TimeoutError as RedisSilentError
        from redis.retry import Retry

        self._error = RedisError
        self._away = (RedisAwayError, RedisSilentError)
        self._patience = Patience()
        # Without retries: a second attempt would take the time the request no longer has, and the breaker counts attempts.
        self._redis = Redis.from_url(
            url,
            socket_timeout=LONGEST_SECONDS,
            socket_connect_timeout=LONGEST_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._pool = self._redis.connection_pool
        self._pool.connection_class = timely(self._pool.connection_class, self._patience)
        self._breaker = Breaker(self._error)

    def append(self, events: Sequence[Interaction]) -> None:
        # In pieces that a busy Redis answers in time: a pipeline is waited for as a whole.
        for first in range(0, len(events), EVENTS_AT_ONCE):
            self._ask(partial(self._append, events[first : first + EVENTS_AT_ONCE]))

    def _append(self, events: Sequence[Interaction]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        named = [
            (_events_key(subject), event)
            for event in events
            for subject in subjects_of(user=event.user_id, session=event.session_id)
        ]
        for key, event in named:
            pipeline.zadd(key, {_packed(event): known_at_us(event)})
        for key in dict.fromkeys(key for key, _ in named):
            pipeline.zremrangebyrank(key, 0, -EVENTS_KEPT - 1)
            pipeline.expire(key, EVENTS_LIVE)
        pipeline.execute()

    def remember_shown(self, subjects: Sequence[str], item_ids: Sequence[str], *, at_us: int) -> None:
        def work() -> None:
            pipeline = self._redis.pipeline(transaction=False)
            for key in map(_shown_key, subjects):
                pipeline.zadd(key, dict.fromkeys(item_ids, at_us))
                pipeline.zremrangebyrank(key, 0, -SHOWN_KEPT - 1)
                pipeline.expire(key, SHOWN_LIVES)
            pipeline.execute()

        if subjects and item_ids:
            self._ask(work)

    def read(self, subjects: Sequence[str], *, known_since_us: int, within: float | None = None) -> Visit:
        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.get(_FILLED)  # gone when Redis was started anew, with everything else
            for subject in subjects:
                pipeline.zrange(_events_key(subject), known_since_us, "+inf", byscore=True)
                pipeline.zrange(_shown_key(subject), 0, -1, withscores=True)
            return pipeline.execute()

        if not subjects:
            return Visit()
        filled, *answers = self._ask(work, within=within)
        events = dict(_unpacked(member) for members in answers[::2] for member in members)
        shown: dict[str, datetime] = {}
        for item_id, at_us in (pair for pairs in answers[1::2] for pair in pairs):
            at = instant_of(int(at_us))
            shown[item_id] = max(at, shown.get(item_id, at))
        return Visit(tuple(events.values()), shown, is_whole=filled is not None)

    def filled_since(self) -> int | None:
        since = self._ask(lambda: self._redis.get(_FILLED))
        return None if since is None else int(since)

    def mark_filled(self, since_us: int) -> None:
        self._ask(lambda: self._redis.set(_FILLED, since_us))

    def close(self) -> None:
        self._redis.close()

    def _ask(self, work: Callable[[], Result], *, within: float | None = None) -> Result:
        seconds = LONGEST_SECONDS if within is None else min(within, LONGEST_SECONDS)
        self._patience.begin(seconds)
        try:
            return self._breaker.through(work)
        except self._error as error:
            if isinstance(error, self._away):
                # What one connection met, the idle ones meet too: each would cost a request its time and open the breaker again.
                self._pool.disconnect(inuse_connections=False)
            raise OnlineStoreError(
                f"Redis must answer within {seconds * 1000:.0f} ms. Received: {error or repr(error)}. Lists are made without it until it does."
            ) from error


def _events_key(subject: str) -> str:
    return f"aisle:events:{subject}"


def _shown_key(subject: str) -> str:
    return f"aisle:shown:{subject}"


def _packed(event: Interaction) -> str:
    fact = event_of(event)
    return json.dumps(
        [event.event_id, fact.item_id, fact.event_type, event.occurred_at_us, fact.quantity], separators=(",", ":")
    )


def _unpacked(member: str) -> tuple[str, Event]:
    event_id, item_id, kind, occurred_at_us, quantity = json.loads(member)
    return event_id, Event(item_id, EventType(kind), instant_of(occurred_at_us), quantity)
