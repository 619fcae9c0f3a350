"""The short way to the routes that most requests ask for: lists by GET.

FastAPI finds a route, solves its dependencies and opens its exit stacks in half a millisecond, a third of what such a request costs. Here the
same handler is called with the same things, validated by the same models. Whatever is not plainly in order goes the long way,
so that FastAPI says what is wrong with it; nothing is refused here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_origin
from urllib.parse import parse_qsl

from fastapi import BackgroundTasks, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from ml.contract.errors import AisleError
from serving.deadline import HEADER, LONGEST_MS, DeadlineMs, deadline_of
from serving.dependencies import ItemId
from serving.list_requests import ListQuery
from serving.lists import list_maker_of
from serving.routes import recommendations
from serving.security.guards import Needs

_ITEM_ID: TypeAdapter[str] = TypeAdapter(ItemId)
_DEADLINE_MS: TypeAdapter[int] = TypeAdapter(DeadlineMs)
_DEADLINE = HEADER.lower().encode()
_SEVERAL = frozenset(name for name, field in ListQuery.model_fields.items() if get_origin(field.annotation) is tuple)
"""Parameters that may be given several times; of the others the last counts."""

_CannotError = (ValidationError, AisleError)


@dataclass(frozen=True)
class _Route:
    """One that can be reached the short way."""

    route: APIRoute
    needs: tuple[Needs, ...]

    @classmethod
    def of(cls, route: APIRoute) -> "_Route":
        guards = [guard.dependency for guard in route.dependencies]
        needs = tuple(guard for guard in guards if isinstance(guard, Needs))
        assert len(needs) == len(guards) > 0  # what else a route may demand, only FastAPI knows how to ask
        return cls(route, needs)

    async def answer(self, request: Request, item: dict[str, str]) -> Response:
        """
        Raises:
            ValidationError: a parameter is not as it must be.
            AisleError: as the handler does.
        """
        after = BackgroundTasks()
        deadline = deadline_of(request, _asked_ms(request.scope))
        about = {name: _ITEM_ID.validate_python(value) for name, value in item.items()}
        handler: Callable[..., Awaitable[Response]] = self.route.endpoint
        response = await handler(
            lists=list_maker_of(request, deadline, after), http=request, asked=asked_by(request), **about
        )
        response.background = after
        return response


class Shortcut:
    """The innermost middleware: a request is here when it has passed every limit and its key is known."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._routes = tuple(
            _Route.of(route)
            for route in recommendations.router.routes
            if isinstance(route, APIRoute) and route.methods == {"GET"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._response(scope, receive, send) if _is_plain(scope) else None
        await (response or self._app)(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        for found in self._routes:
            matched = found.route.path_regex.match(scope["path"])
            if matched is None or not all(scope["state"]["api_key"].may(guard.scope) for guard in found.needs):
                continue
            try:
                response = await found.answer(Request(scope, receive, send), matched.groupdict())
            except _CannotError:
                return None
            scope["route"] = found.route  # metrics name it
            return response
        return None


def asked_by(request: Request) -> ListQuery:
    """The query as its model.

    Raises:
        ValidationError: it is not as it must be.
    """
    told: dict[str, Any] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name in _SEVERAL:
            told.setdefault(name, []).append(value)
        else:
            told[name] = value
    return ListQuery.model_validate(told)


def _asked_ms(scope: Scope) -> int:
    """Of the header, as FastAPI reads it: the first where there are several."""
    for name, value in scope["headers"]:
        if name == _DEADLINE:
            return _DEADLINE_MS.validate_python(value.decode("latin-1"))
    return LONGEST_MS


def _is_plain(scope: Scope) -> bool:
    """Whether it can go the short way at all; where a test puts something else in a dependency's place, it cannot."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and not scope.get("root_path")
        and not scope["app"].dependency_overrides
    )
