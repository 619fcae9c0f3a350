"""What a route demands of a key."""

from typing import Any

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from serving.security.keys import ApiKey, Scope


class ForbiddenError(Exception):
    """A live key without the scope the route needs."""

    def __init__(self, key: ApiKey, needed: Scope) -> None:
        super().__init__(
            f"This needs a key with the scope `{needed}`. Received: a key with {', '.join(sorted(key.scopes))}."
        )


class Needs(SecurityBase):
    """The guard of a route. The key itself was looked up by the gate, before the body was read."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.model = HTTPBearer(description="An API key: `Authorization: Bearer aisle_...`")
        self.scheme_name = "ApiKey"

    async def __call__(self, request: Request) -> ApiKey:
        key: ApiKey = request.state.api_key
        if not key.may(self.scope):
            raise ForbiddenError(key, self.scope)
        return key


READ: Any = Security(Needs(Scope.READ))
WRITE: Any = Security(Needs(Scope.WRITE))
ADMIN: Any = Security(Needs(Scope.ADMIN))
