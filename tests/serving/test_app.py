import subprocess
import sys

import pytest

from serving.app import create_app
from serving.settings import ServiceSettings

FORBIDDEN = ["tensorflow", "tf_keras", "dagster", "mlflow", "dbt", "pandas", "scipy", "duckdb", "great_expectations", "evidently", "matplotlib", "orchestration", "redis", "psycopg", "alembic", "pybreaker"]  # fmt: skip


def test_the_service_is_imported_without_any_of_the_heavy_libraries(repository):
    program = f"import sys, serving.app, serving.__main__; print([m for m in {FORBIDDEN} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def openapi() -> dict:
    return create_app(ServiceSettings()).openapi()


GUARDED = {"401", "403", "429"}
EXPECTED_FAILURES = {
    ("get", "/api/v1/recommendations/homepage"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/recommendations/product/{item_id}"): {"404", "422", "503"} | GUARDED,
    ("get", "/api/v1/recommendations/frequently-bought-together/{item_id}"): {"404", "422", "503"} | GUARDED,
    ("post", "/api/v1/recommendations/cart"): {"408", "413", "422", "503"} | GUARDED,
    ("post", "/api/v1/rank"): {"408", "413", "422", "503"} | GUARDED,
    ("get", "/api/v1/explain/{request_id}"): {"404", "410", "422", "503"} | GUARDED,
    ("post", "/api/v1/interactions"): {"408", "413", "422", "503"} | GUARDED,
    ("get", "/api/v1/analytics/recommendations/performance"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/analytics/conversion-funnel"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/inspection/visitors"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/inspection/items"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/inspection/history"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/inspection/releases"): {"422", "503"} | GUARDED,
    ("get", "/api/v1/inspection/comparison"): {"404", "410", "422", "503"} | GUARDED,
    ("get", "/api/v1/model"): {"503"} | GUARDED,
    ("get", "/metrics"): GUARDED,
    ("get", "/healthz"): set(),
    ("get", "/readyz"): {"503"},
}


def operations(openapi: dict) -> dict[tuple[str, str], dict]:
    return {(method, path): route for path, methods in openapi["paths"].items() for method, route in methods.items()}


def test_openapi_lists_every_route_with_its_failures_as_problems(openapi):
    found = operations(openapi)
    assert set(found) == set(EXPECTED_FAILURES)
    for operation, failures in EXPECTED_FAILURES.items():
        responses = found[operation]["responses"]
        assert set(responses) == {"200"} | failures, operation
        for failure in failures:
            schema = responses[failure]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}


def test_openapi_names_the_key_wherever_one_is_needed(openapi):
    for (_method, path), route in operations(openapi).items():
        assert route.get("security", []) == ([] if path in ("/healthz", "/readyz") else [{"ApiKey": []}]), path


def test_openapi_describes_every_route_parameter_and_answer(openapi):
    for route in operations(openapi).values():
        assert route["summary"]
        assert route["description"]
        for parameter in route.get("parameters", []):
            assert parameter["description"]
            assert parameter["schema"].get("examples") or parameter.get("examples")
    for schema in openapi["components"]["schemas"].values():
        assert schema["description"]


def test_creating_the_app_opens_nothing_yet(tmp_path):
    create_app(ServiceSettings(home=tmp_path / "not there"))
    assert not (tmp_path / "not there").exists()
