"""How much: requests per key, requests at once, bytes per body. Each says no before any work is done."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from time import monotonic

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import problem
from serving.security.gate import METRICS, PROBES

SECONDS_TO_SEND_A_BODY = 10.0
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A token bucket for every key: `per_second` on average, `burst` at once. In this process; each replica counts for itself."""

    def __init__(self, app: ASGIApp, *, per_second: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._app = app
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = scope.get("state", {}).get("api_key")
        wait = 0.0 if key is None else self._wait(key.key_id)
        if not wait:
            await self._app(scope, receive, send)
            return
        message = f"A key may ask {self._per_second:g} times a second, {self._burst} at once. Received: more."
        refusal = problem(
            scope["state"]["request_id"], HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", message,
            "Wait as long as Retry-After says, or raise AISLE_RATE_PER_SECOND.",
        )  # fmt: skip
        refusal.headers["Retry-After"] = str(ceil(wait))
        await refusal(scope, receive, send)

    def _wait(self, key_id: str) -> float:
        """Takes a token; seconds until there is one when there is none."""
        now = self._clock()
        # At most one per live key: strangers never come here.
        bucket = self._buckets.setdefault(key_id, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._per_second)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_second
        bucket.tokens -= 1
        return 0.0


class ConcurrencyLimit:
    """At most so many requests at once; one more is refused at once, so that those inside stay fast.

    Probes always pass, and so do the metrics: they are wanted most when there is too much to do.
    """

    def __init__(self, app: ASGIApp, *, at_once: int) -> None:
        self._app = app
        self._at_once = at_once
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or scope["path"] == METRICS:
            await self._app(scope, receive, send)
            return
        if self._inside >= self._at_once:
            message = f"At most {self._at_once} requests are answered at once. Received: one more."
            refusal = problem(
                scope["state"]["request_id"], HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", message,
                "Ask again after Retry-After seconds; more replicas carry more.",
            )  # fmt: skip
            refusal.headers["Retry-After"] = "1"
            await refusal(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1


class BodyLimit:
    """A body is read whole, up to so many bytes and seconds, before anything is parsed or takes up a place."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float = SECONDS_TO_SEND_A_BODY) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"] in _WITHOUT_BODY and not _has_body(scope)):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(scope, receive)
        except TimeoutError:
            message = f"A body must arrive within {self._seconds:g} s. Received: a part of one."
            refusal = problem(
                scope["state"]["request_id"],
                HTTPStatus.REQUEST_TIMEOUT,
                "slow_body",
                message,
                "Send it again, in one go.",
            )
            await refusal(scope, receive, send)
            return
        if body is None:
            message = f"A body may have {self._max_bytes} bytes. Received: more."
            refusal = problem(
                scope["state"]["request_id"], HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", message,
                "Send smaller batches, or raise AISLE_MAX_BODY_BYTES.",
            )  # fmt: skip
            refusal.headers["Connection"] = "close"  # the rest of the body is not read
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when it is longer than allowed."""
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _replayed(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
