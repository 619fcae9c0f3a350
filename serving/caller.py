"""Who asks, and when: read off the request once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from ml.features.pseudonym import pseudonym

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


def caller_of(request: Request, user_id: str | None, session_id: str | None) -> Caller:
    """Whom a body or a query names."""
    key = request.app.state.pseudonym_key
    return Caller(
        request_id=request.state.request_id,
        user_id=user_id,
        known_as=None if user_id is None else pseudonym(user_id, key),
        asked_at=datetime.now(UTC),
        session=None if session_id is None else session_pseudonym(session_id, key),
    )


async def caller(request: Request, user_id: UserId = None, session_id: SessionId = None) -> Caller:
    return caller_of(request, user_id, session_id)


CalledBy = Annotated[Caller, Depends(caller)]
