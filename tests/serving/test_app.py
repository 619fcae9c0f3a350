import subprocess
import sys

import pytest

from serving.app import create_app
from serving.settings import ServiceSettings

FORBIDDEN = ["tensorflow", "tf_keras", "dagster", "mlflow", "dbt", "pandas", "scipy", "duckdb", "great_expectations", "evidently", "matplotlib", "orchestration"]  # fmt: skip


def test_the_service_is_imported_without_any_of_the_heavy_libraries(repository):
    program = f"import sys, serving.app, serving.__main__; print([m for m in {FORBIDDEN} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def openapi() -> dict:
    return create_app(ServiceSettings()).openapi()


EXPECTED_FAILURES = {
    "/api/v1/recommendations/homepage": {"422", "503"},
    "/api/v1/recommendations/product/{item_id}": {"404", "422", "503"},
    "/api/v1/model": {"503"},
    "/healthz": set(),
    "/readyz": {"503"},
}


def test_openapi_lists_every_route_with_its_failures_as_problems(openapi):
    assert set(openapi["paths"]) == set(EXPECTED_FAILURES)
    for path, failures in EXPECTED_FAILURES.items():
        responses = openapi["paths"][path]["get"]["responses"]
        assert set(responses) == {"200"} | failures
        for failure in failures:
            schema = responses[failure]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}


def test_openapi_describes_every_route_parameter_and_answer(openapi):
    for methods in openapi["paths"].values():
        route = methods["get"]
        assert route["summary"]
        assert route["description"]
        for parameter in route.get("parameters", []):
            assert parameter["description"]
            assert parameter["schema"].get("examples") or parameter.get("examples")
    for name in ("RecommendationList", "Recommendation", "Problem", "ModelFacts"):
        assert openapi["components"]["schemas"][name]["description"]


def test_creating_the_app_opens_nothing_yet(tmp_path):
    create_app(ServiceSettings(home=tmp_path / "not there"))
    assert not (tmp_path / "not there").exists()
