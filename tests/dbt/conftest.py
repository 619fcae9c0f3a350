"""One built warehouse for all tests that only look."""

from pathlib import Path

import pytest

from tests.dbt.shop import CATALOGUE, CUTS, DbtHome, a_shop


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> DbtHome:
    """The small shop, landed and built in one go, features at three cuts."""
    home = DbtHome(tmp_path_factory.mktemp("built"))
    home.land(a_shop(), items=CATALOGUE, users=[{"user_id": "u1"}])
    result = home.build(cuts=CUTS)
    assert not result.failed
    return home


@pytest.fixture
def home(tmp_path: Path) -> DbtHome:
    return DbtHome(tmp_path)
