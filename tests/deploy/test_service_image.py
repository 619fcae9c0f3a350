"""The service's image holds what it must, and nothing of training."""

import ast
import re
from importlib.util import find_spec

import pytest

from serving.settings import ServiceSettings
from tests.deploy.manifests import DEPLOY

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "service" / "Dockerfile").read_text()
IGNORED = (DEPLOY / "service" / "Dockerfile.dockerignore").read_text().splitlines()
HEAVY = ("tensorflow", "tf-keras", "dagster", "mlflow", "dbt-core", "great-expectations", "pandas", "duckdb")


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def test_what_the_image_copies_is_there_and_is_sent_to_the_build():
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert sorted(copied()) == sorted(line[1:] for line in IGNORED if line.startswith("!"))
    assert "*" in IGNORED


@pytest.mark.parametrize("requirements", ["serve", "production"])
def test_what_the_image_installs_is_locked_and_holds_nothing_of_training(requirements):
    assert f"requirements/{requirements}.txt" in copied()
    locked = (ROOT / "requirements" / f"{requirements}.txt").read_text()
    names = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", locked, re.MULTILINE)
    assert {"fastapi", "uvicorn", "onnxruntime", "prometheus-client"} <= set(names)
    assert [name for name in names if name in HEAVY] == []
    assert ("opentelemetry-sdk" in names) == ("google-cloud-storage" in names) == (requirements == "production")
    assert locked.count("--hash=sha256:") >= len(names)
    assert DOCKERFILE.count("--require-hashes") == 2


def test_it_runs_as_nobody_in_particular_and_without_a_shell():
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    commands = re.findall(r"^\s*CMD (.+)$", DOCKERFILE, re.MULTILINE)
    health, command = (ast.literal_eval(command) for command in commands)
    assert command == ["python", "-m", "serving"]
    assert find_spec("serving.__main__")
    assert health[:2] == ["python", "-c"]
    compile(health[2], "health check", "exec")
    assert "/healthz" in health[2]


def test_what_the_image_sets_are_settings_of_the_service():
    told = re.findall(r"\b(AISLE_\w+)=", DOCKERFILE)
    assert len(told) == 4
    assert [name for name in told if name.removeprefix("AISLE_").lower() not in ServiceSettings.model_fields] == []
