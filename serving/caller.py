"""Who asks, and when: read off the request once."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import Depends, Query, Request

from ml.features.pseudonym import MARK, pseudonym
from serving.security.keys import ApiKey, Scope

_MARKED = re.compile(f"{MARK}([0-9a-f]{{32}})")

UserId = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=256,
        description="The shop's own id of the user. Unknown or left out: the popular list, marked as such.",
        examples=["17850"],
    ),
]
SessionId = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=256,
        description="The shop's own id of the visit. What was done in it goes into the list, also when nobody is logged in.",
        examples=["s-7f3a"],
    ),
]


@dataclass(frozen=True)
class Caller:
    """One request as the service saw it."""

    request_id: str
    user_id: str | None
    """As asked; it goes back to the caller and nowhere else."""
    known_as: str | None
    """The pseudonym a bundle knows the user by."""
    asked_at: datetime
    """UTC."""
    session: str | None = None
    """The pseudonym of the visit."""


def session_pseudonym(session_id: str, key: str) -> str:
    """Keyed hash of a session id; never that of a user with the same id."""
    return pseudonym(f"session:{session_id}", key)


@dataclass(frozen=True)
class Pseudonyms:
    """Under which names the log and a bundle know the people a request names."""

    key: str
    takes_marked: bool
    """Whether `pseudonym:<32 hex digits>` is taken as it is: whoever picks people off the log has no other id of them."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Only a key with the scope `admin` may name people by their pseudonym; from any other it is an id like every id."""
        asking: ApiKey = request.state.api_key
        return cls(request.app.state.pseudonym_key, asking.may(Scope.ADMIN))

    def user(self, user_id: str) -> str:
        return self._marked(user_id) or pseudonym(user_id, self.key)

    def session(self, session_id: str) -> str:
        return self._marked(session_id) or session_pseudonym(session_id, self.key)

    def _marked(self, name: str) -> str | None:
        marked = _MARKED.fullmatch(name) if self.takes_marked else None
        return marked and marked.group(1)


def caller_of(request: Request, user_id: str | None, session_id: str | None) -> Caller:
    """Whom a body or a query names."""
    names = Pseudonyms.of(request)
    return Caller(
        request_id=request.state.request_id,
        user_id=user_id,
        known_as=None if user_id is None else names.user(user_id),
        asked_at=datetime.now(UTC),
        session=None if session_id is None else names.session(session_id),
    )


async def caller(request: Request, user_id: UserId = None, session_id: SessionId = None) -> Caller:
    return caller_of(request, user_id, session_id)


CalledBy = Annotated[Caller, Depends(caller)]
