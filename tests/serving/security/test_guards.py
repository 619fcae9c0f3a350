"""Every route of the service, found by walking the app: none is open by oversight."""

import logging
from datetime import UTC, datetime

import pytest
from fastapi.routing import APIRoute
from starlette.websockets import WebSocketDisconnect

from serving.app import create_app
from serving.security import Needs
from serving.security.gate import CONSOLE, PAGES, PROBES
from serving.security.keys import ApiKey, KeyFile, Scope
from serving.settings import ServiceSettings
from tests.serving.conftest import TestClient

SCOPES = {
    ("GET", "/api/v1/recommendations/homepage"): Scope.READ,
    ("GET", "/api/v1/recommendations/product/{item_id:path}"): Scope.READ,
    ("GET", "/api/v1/recommendations/frequently-bought-together/{item_id:path}"): Scope.READ,
    ("POST", "/api/v1/recommendations/cart"): Scope.READ,
    ("POST", "/api/v1/rank"): Scope.READ,
    ("GET", "/api/v1/explain/{request_id}"): Scope.READ,
    ("POST", "/api/v1/interactions"): Scope.WRITE,
    ("GET", "/api/v1/analytics/recommendations/performance"): Scope.ADMIN,
    ("GET", "/api/v1/analytics/conversion-funnel"): Scope.ADMIN,
    ("GET", "/api/v1/inspection/visitors"): Scope.ADMIN,
    ("GET", "/api/v1/inspection/items"): Scope.ADMIN,
    ("GET", "/api/v1/inspection/history"): Scope.ADMIN,
    ("GET", "/api/v1/inspection/releases"): Scope.ADMIN,
    ("GET", "/api/v1/inspection/comparison"): Scope.ADMIN,
    ("GET", "/api/v1/model"): Scope.READ,
    ("GET", "/metrics"): Scope.READ,
}
"""What each route asks of a key. A new route belongs here, which is when somebody thinks about who may call it."""


def needs_of(route: APIRoute) -> list[Scope]:
    return [part.call.scope for part in route.dependant.dependencies if isinstance(part.call, Needs)]


def walked(app) -> list[tuple[str, str, list[Scope]]]:
    """Method, path and scopes of everything the app answers, mounted parts included."""
    found, routes = [], list(app.routes)
    while routes:
        route = routes.pop()
        routes.extend(getattr(route, "routes", None) or [])
        inner = getattr(route, "original_router", None)
        if inner is not None:
            routes.extend(inner.routes)
        elif isinstance(route, APIRoute):
            found += [(method, route.path, needs_of(route)) for method in route.methods]
        elif hasattr(route, "path"):
            found += [(method, route.path, []) for method in getattr(route, "methods", None) or {"ANY"}]
    return found


@pytest.fixture(scope="module")
def app():
    return create_app(ServiceSettings())


def test_every_route_has_exactly_one_guard_or_is_named_as_open(app):
    routes = walked(app)
    assert {(method, path) for method, path, _ in routes} >= set(SCOPES)
    for method, path, scopes in routes:
        if path not in PROBES | PAGES | CONSOLE:
            assert scopes == [SCOPES[method, path]], f"{method} {path}"


def test_the_walk_finds_a_route_without_a_guard():
    app = create_app(ServiceSettings())
    app.add_api_route("/api/v1/backdoor", lambda: None)
    assert ("GET", "/api/v1/backdoor", []) in walked(app)


def request_to(method: str, path: str) -> tuple[str, str]:
    return method, path.replace("{item_id:path}", "i001")


@pytest.mark.parametrize(("method", "path"), SCOPES)
@pytest.mark.parametrize(
    "presented", ["", "Bearer", "Bearer wrong", "Basic c2hvcDpzaG9w", f"Bearer aisle_00000000_{'a' * 43}"]
)
def test_without_a_live_key_nothing_is_answered(client, method, path, presented):
    answer = client.request(*request_to(method, path), headers={"Authorization": presented})
    assert answer.status_code == 401
    assert (answer.json()["error"], answer.headers["WWW-Authenticate"]) == ("no_key", "Bearer")
    assert "a" * 43 not in answer.text


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/v1/", "//healthz", "/healthz/", "/docs/../api/v1/model", "/metrics"]
)
def test_paths_without_a_route_are_closed_too(client, path):
    assert client.get(path, headers={"Authorization": ""}, follow_redirects=False).status_code == 401


def test_a_web_socket_is_closed_whatever_its_path(client):
    for path in ("/healthz", "/api/v1/model"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path):
            pytest.fail("it was opened")


@pytest.mark.parametrize(("method", "path"), SCOPES)
@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_opens_what_its_scope_says_and_is_refused_elsewhere(home, method, path, scope):
    secret, key = ApiKey.make("shop", [scope], now=datetime.now(UTC))
    KeyFile().with_key(key).write(home / "api_keys.json")
    with TestClient(create_app(ServiceSettings(home=home))) as client:
        answer = client.request(*request_to(method, path), headers={"Authorization": f"Bearer {secret}"})
    if scope in (SCOPES[method, path], Scope.ADMIN):
        assert answer.status_code in (
            200,
            404,
            422,
        )  # 422: no body; 404: nothing was asked for yet that could be explained
    else:
        assert answer.status_code == 403
        assert f"scope `{SCOPES[method, path]}`. Received: a key with {scope}." in answer.json()["message"]


@pytest.mark.parametrize("path", sorted(PROBES))
def test_probes_need_no_key(client, path):
    assert client.get(path, headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize(("public", "status"), [(True, 200), (False, 401)])
def test_the_pages_of_the_api_are_open_or_closed_by_a_setting(home, public, status):
    with TestClient(create_app(ServiceSettings(home=home, public_docs=public))) as client:
        for path in ("/docs", "/openapi.json"):
            assert client.get(path, headers={"Authorization": ""}).status_code == status


def test_a_key_is_never_in_a_log(home, caplog):
    with caplog.at_level(logging.DEBUG), TestClient(create_app(ServiceSettings(home=home))) as client:
        secret = client.headers["Authorization"].removeprefix("Bearer ")
        client.get("/api/v1/model")
        client.get("/api/v1/model", headers={"Authorization": f"Bearer {secret[:-1]}"})
        client.post("/api/v1/interactions", json={"item_id": ""})
    assert secret[:-1] not in caplog.text
