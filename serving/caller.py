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


async def caller(request: Request, user_id: UserId = None) -> Caller:
    known_as = None if user_id is None else pseudonym(user_id, request.app.state.pseudonym_key)
    return Caller(request.state.request_id, user_id, known_as, datetime.now(UTC))


CalledBy = Annotated[Caller, Depends(caller)]
