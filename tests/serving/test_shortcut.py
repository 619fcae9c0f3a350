"""The short way to a list and FastAPI's own give the same answers."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from serving import shortcut
from tests.serving.conftest import TestClient

HOMEPAGE = "/api/v1/recommendations/homepage"
OWN = ("request_id", "generated_at")
"""Of each request alone."""
NAMES = ("user_id", "session_id", "recent_items", "region", "exclude", "include", "limit", "nonsense")
VALUES = st.sampled_from(
    ["", "u001", "i001", "i002", "3", "03", "3.0", "100", "101", "-1", " 5 ", "x" * 257, "\u00e9", "a&b=c"]
)
QUERIES = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6)
PATHS = st.sampled_from([HOMEPAGE, *(f"/api/v1/recommendations/{kind}/{quote(item)}" for kind in ("product", "frequently-bought-together")
                                     for item in ("i001", "nobody's", "a/b", "x" * 257))])  # fmt: skip
DEADLINES = st.sampled_from([None, "60000", "0", "1e4", " 50000", "many", "60001"])


def asked(client: TestClient, url: str, headers: dict[str, str], *, short: bool) -> tuple[int, dict, dict]:
    """Status, headers and body, without what is each request's own."""
    client.app.dependency_overrides = {} if short else {object: object}  # with any, everything goes FastAPI's way
    try:
        answer = client.get(url, headers=headers)
    finally:
        client.app.dependency_overrides = {}
    body = {name: value for name, value in answer.json().items() if name not in OWN}
    told = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")}
    return answer.status_code, told, body


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, QUERIES, DEADLINES)
@example(
    HOMEPAGE, [("user_id", "u001"), ("limit", "5"), ("limit", "3"), ("exclude", "i001"), ("exclude", "i002")], "60000"
)
def test_both_ways_say_the_same_of_any_request(client, path, query, deadline):
    url = f"{path}?{urlencode(query)}"
    headers = {} if deadline is None else {"X-Deadline-Ms": deadline}
    assert asked(client, url, headers, short=True) == asked(client, url, headers, short=False)


def test_a_plain_request_goes_the_short_way(client, monkeypatch):
    taken = []
    ask = shortcut.asked_by
    monkeypatch.setattr(shortcut, "asked_by", lambda request: taken.append(request.url.path) or ask(request))
    assert client.get(f"{HOMEPAGE}?user_id=u001&limit=3").status_code == 200
    assert client.get("/api/v1/recommendations/product/i001").status_code == 200
    assert taken == [HOMEPAGE, "/api/v1/recommendations/product/i001"]


@pytest.mark.parametrize("path", [HOMEPAGE, "/api/v1/recommendations/product/i001"])
def test_it_counts_under_the_route_and_is_written_down(client, path):
    answer = client.get(path, headers={"X-Request-Id": "short-1"})
    assert answer.status_code == 200
    route = path.replace("i001", "{item_id:path}")
    assert f'aisle_http_requests_total{{method="GET",route="{route}",status="200"}} 1.0' in client.get("/metrics").text
    assert client.get("/api/v1/explain/short-1").status_code == 200
