"""The OpenAPI page is whole, and true: what it promises is asked of a real service by a machine that reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from schemathesis.python.asgi import shutdown_lifespans

from ml.release.publish import publish
from serving.app import create_app
from serving.openapi import FROM_A_LIST
from serving.security.keys import Scope
from serving.settings import ServiceSettings
from tests.serving.conftest import NOW
from tests.serving.security.test_guards import SCOPES
from tests.serving.test_lists import CART, EVENTS, RANK
from tools.fuzz import Findings, fuzz, key_of, made_again, service


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return create_app(ServiceSettings()).openapi()


def operations(page: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, methods in page["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_has_a_name_of_its_own_that_links_and_clients_use(page):
    names = [operation["operationId"] for operation in operations(page).values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    linked = {
        link["operationId"]
        for operation in operations(page).values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    }
    assert linked == {"why", "product", "frequently_bought_together", "cart", "rank", "interactions"}
    assert linked <= set(names)


def test_every_operation_says_what_it_takes_with_an_example(page):
    for name, operation in operations(page).items():
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], f"{name} {parameter['name']}"
            assert parameter["schema"].get("examples") or parameter.get("examples"), f"{name} {parameter['name']}"
        if "requestBody" in operation:
            assert examples_of(page, operation["requestBody"]["content"]["application/json"]["schema"]), name


def examples_of(page: dict[str, Any], schema: dict[str, Any]) -> list[Any]:
    if "$ref" in schema:
        return examples_of(page, page["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    kinds = schema.get("oneOf", []) + ([] if "examples" in schema else schema.get("anyOf", []))
    return schema.get("examples", []) + [example for kind in kinds for example in examples_of(page, kind)]


def test_every_answer_is_described_with_its_headers_and_every_failure_with_an_example_of_its_own(page):
    for name, operation in operations(page).items():
        assert set(operation["responses"]) >= ({"200"} if "/api/" not in name else {"200", "401", "403", "429"}), name
        for status, answer in operation["responses"].items():
            assert answer["description"], f"{name} {status}"
            assert answer["headers"]["X-Request-Id"]["required"], f"{name} {status}"
            assert ("Retry-After" in answer["headers"]) is (status in ("429", "503")), f"{name} {status}"
            [content] = answer["content"].values()
            assert content["schema"], f"{name} {status}"
            if status != "200":
                assert set(content["example"]) == set(page["components"]["schemas"]["Problem"]["properties"])


def test_every_field_of_every_schema_is_described_or_shown(page):
    for name, schema in page["components"]["schemas"].items():
        assert schema["description"], name
        for field, said in schema.get("properties", {}).items():
            assert {"description", "examples", "$ref", "const"} & set(said), f"{name}.{field}"


@pytest.mark.parametrize("url", [EVENTS, CART, RANK])
@pytest.mark.parametrize(
    "body", [b"\xff{}", b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'{"limit": ' + b"9" * 5_000 + b"}"]
)
def test_a_body_no_parser_takes_is_422_like_every_other_wrong_body(client, url, body):
    answer = client.post(url, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert answer.json()["message"].startswith("A body must be JSON in UTF-8")


@pytest.mark.parametrize("wrong", [True, "2", [2]])
@pytest.mark.parametrize(
    ("url", "body", "field"),
    [
        (EVENTS, {"item_id": "i001", "event_type": "view", "user_id": "u001"}, "price"),
        (EVENTS, {"item_id": "i001", "event_type": "view", "user_id": "u001"}, "quantity"),
        (CART, {"item_ids": ["i001"]}, "limit"),
        (RANK, {"item_ids": ["i001"]}, "limit"),
    ],
)
def test_what_is_no_number_is_never_taken_for_one(client, url, body, field, wrong):
    for number in (2, 2.0):
        assert client.post(url, json={**body, field: number}).status_code == 200
    answer = client.post(url, json={**body, field: wrong})
    assert (answer.status_code, answer.json()["details"][0]["field"].rsplit(".", 1)[1]) == (422, field)


def test_of_a_parameter_given_twice_the_last_counts(client, page):
    answer = client.get("/api/v1/recommendations/homepage?limit=5&user_id=a&limit=3&user_id=b").json()
    assert (len(answer["recommendations"]), answer["user_id"]) == (3, "b")
    assert "given several times, the last counts" in page["info"]["description"]


@pytest.mark.parametrize("depth", [900, 980])
@pytest.mark.parametrize("url", [EVENTS, CART, RANK])
def test_a_body_as_deep_as_the_parser_takes_is_refused_like_a_shallow_one(client, url, depth):
    for start in (b'{"item_ids":', b'{"interactions":', b'{"x":'):
        deep = start + b"[" * depth + b"]" * depth + b"}"
        assert client.post(url, content=deep, headers={"Content-Type": "application/json"}).status_code == 422


def asked(app: FastAPI, key: str, **how: Any) -> Findings:
    findings = fuzz(app, key, seed=1, **how)
    assert not findings.failures, "\n\n".join(map(str, findings.failures[:5]))
    return findings


@pytest.fixture(scope="module")
def fuzzed(bundles: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Scope, Findings]]:
    """The home of a service that was asked everything its page offers, with a key of each scope, and what came of it."""
    home = tmp_path_factory.mktemp("fuzzed")
    keys = {scope: key_of(home, scope) for scope in Scope}
    few = {"examples": 3, "chains": 0, "phases": ("examples", "fuzzing")}
    publish(bundles[0], releases=home / "releases", now=NOW)
    with service(home) as app:
        findings = {scope: asked(app, keys[scope], **few) for scope in (Scope.READ, Scope.WRITE)}
        findings[Scope.ADMIN] = asked(app, keys[Scope.ADMIN], examples=25, chains=60)
    return home, findings


def test_the_service_keeps_every_promise_of_its_page(fuzzed, page):
    findings = fuzzed[1][Scope.ADMIN]
    # A comparison needs a version that is kept and a list of the live one, both at once: test_inspection asks for it.
    assert {operation.lower() for operation, status in findings.answers if status == 200} >= {
        name.lower() for name in operations(page) if not name.endswith("/comparison")
    }
    assert not [answer for answer in findings.answers if answer[1] >= 500]
    # Whether a chain names a version that went beside a list it has just been given is chance: test_inspection asks for that, too.
    assert {status for _, status in findings.answers} - {410} == {200, 401, 404, 405, 422}


def test_answers_lead_where_the_page_says(fuzzed):
    followed = {link.split("] ")[1].split(" ->")[0] for link in fuzzed[1][Scope.ADMIN].links}
    assert followed == set(FROM_A_LIST)


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
def test_a_key_of_one_scope_gets_what_the_page_says_and_is_refused_the_rest(fuzzed, scope):
    needed = {f"{method} {path.replace(':path', '')}": needs for (method, path), needs in SCOPES.items()}
    answered = {operation for operation, status in fuzzed[1][scope].answers if status == 200 and operation in needed}
    refused = {operation for operation, status in fuzzed[1][scope].answers if status == 403}
    assert {needed[operation] for operation in answered} == {scope}
    assert refused == {operation for operation, needs in needed.items() if needs is not scope}


def test_every_list_that_chance_asked_for_is_made_again_from_its_trace(fuzzed):
    home, findings = fuzzed
    report = made_again(home)
    assert report.holds, report.different
    assert report.num_replayed >= sum(findings[Scope.ADMIN].answers[f"POST {path}", 200] for path in (CART, RANK)) > 20
    assert (report.num_without_bundle, report.num_unreadable) == (0, 0)


def test_a_service_without_a_release_answers_only_what_its_page_says(tmp_path):
    key = key_of(tmp_path, Scope.ADMIN)
    away = {"not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]}}
    with service(tmp_path) as app:
        findings = asked(app, key, examples=3, chains=0, phases=("examples", "fuzzing"), checks=away)
    assert findings.answers["GET /readyz", 503]
    assert findings.answers[f"POST {RANK}", 503]


def lying(answer: Callable[[], Response]) -> FastAPI:
    """A service with one route, and a page that promises more of it than it keeps."""
    app = FastAPI()
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    headers = {"X-Told": {"required": True, "schema": {"type": "string"}}}
    promise = {200: {"content": {"application/json": {"schema": schema}}, "headers": headers}}

    @app.get("/lying", responses=promise, response_class=Response)
    def lie(number: Annotated[str, Query(json_schema_extra={"type": "integer"})] = "0") -> Response:  # noqa: ARG001
        return answer()

    return app


def _fails() -> Response:
    raise RuntimeError("an error nobody thought of")


TOLD = {"X-Told": "yes"}


@pytest.mark.parametrize(
    ("answer", "broken"),
    [
        (_fails, "nothing_is_raised"),
        (lambda: JSONResponse({"text": "fine"}, 503, TOLD), "not_a_server_error"),
        (lambda: JSONResponse({"text": "fine"}, 418, TOLD), "status_code_conformance"),
        (lambda: PlainTextResponse("fine", headers=TOLD), "content_type_conformance"),
        (lambda: JSONResponse({"text": 1}, headers=TOLD), "response_schema_conformance"),
        (lambda: JSONResponse({"text": "fine"}), "response_headers_conformance"),
        (lambda: JSONResponse({"text": "fine"}, headers=TOLD), "negative_data_rejection"),
    ],
)
def test_each_kind_of_broken_promise_is_found(answer, broken):
    try:
        found = fuzz(lying(answer), "no key", seed=1, examples=5, chains=0, phases=("coverage", "fuzzing"))
    finally:
        shutdown_lifespans()
    assert broken in {failure.check for failure in found.failures}


@pytest.mark.parametrize(("longest", "broken"), [(None, set()), (3, {"negative_data_rejection"})])
def test_a_query_is_wrong_by_the_text_that_was_sent_and_not_by_what_was_meant(longest, broken):
    promised = {"items": {"type": "string", "maxLength": longest}} if longest else None
    app = FastAPI()

    @app.get("/texts")
    def texts(
        several: Annotated[list[str], Query(json_schema_extra=promised)],
        one: Annotated[str | None, Query()] = None,  # noqa: ARG001
    ) -> list[str]:
        return several

    try:
        found = fuzz(app, "no key", seed=0, examples=300, chains=0, phases=("coverage", "fuzzing"))
    finally:
        shutdown_lifespans()
    assert {failure.check for failure in found.failures} == broken, found.failures[:3]
