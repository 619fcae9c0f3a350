"""`compose.yaml` starts what is there, with settings that exist, and with no secret in it."""

import re
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest
import yaml

from serving.settings import Environment, ServiceSettings


@pytest.fixture
def compose(repository) -> dict:
    return yaml.safe_load((repository / "compose.yaml").read_text())


def filled(value: str) -> str:
    """A value with its variables set to something."""
    return re.sub(r"\$\{\w+:\?[^}]+\}", "something-long", value)


@pytest.mark.parametrize("name", ["service", "migrate"])
def test_the_settings_are_those_of_the_service_in_production(compose, name, monkeypatch):
    for variable, value in compose["services"][name]["environment"].items():
        assert variable.removeprefix("AISLE_").lower() in ServiceSettings.model_fields
        monkeypatch.setenv(variable, filled(value))
    settings = ServiceSettings()
    assert settings.environment is Environment.PRODUCTION
    for address in (settings.feedback_address, settings.redis_address):
        assert urlsplit(address).hostname in compose["services"]


@pytest.mark.parametrize("name", ["service", "migrate"])
def test_what_is_started_exists(compose, repository, name):
    part = compose["services"][name]
    _python, _m, module, *_ = part["command"]
    assert find_spec(f"{module}.__main__")
    assert (repository / part["build"]["dockerfile"]).exists()
    assert set(part["depends_on"]) <= set(compose["services"])
    assert part["read_only"]


def test_no_secret_has_a_value_here(compose):
    for part in compose["services"].values():
        for variable, value in part["environment"].items() if "environment" in part else ():
            if re.search("PASSWORD|KEY|SECRET", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable


def test_nothing_but_the_service_is_reachable_and_only_from_this_machine(compose):
    ports = {name: part["ports"] for name, part in compose["services"].items() if "ports" in part}
    assert ports == {"service": ["127.0.0.1:8000:8000"]}
