"""Releases of the small world as a running service finds them: users under their pseudonyms, two versions to swap between."""

import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.release.publish import publish
from serving.app import create_app
from serving.security.keys import development_key
from serving.settings import ServiceSettings
from tests import world

with warnings.catch_warnings():
    # Starlette's test client asks for a successor of httpx that its own minimum versions do not need yet.
    warnings.filterwarnings("ignore", message="Using `httpx`")
    from fastapi.testclient import TestClient as PlainClient


class TestClient(PlainClient):
    """A client that holds the development key of the home its service made it in."""

    __test__ = False

    def __enter__(self) -> Self:
        super().__enter__()
        self.headers["Authorization"] = f"Bearer {development_key(self.app.state.settings.development_key_path)}"
        return self


NOW = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two bundles of different tastes of the same users."""
    plain = world.user_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "user_id", lambda user: pseudonym(plain(user), DEVELOPMENT_KEY))
        folders = [world.bundle_folder(tmp_path_factory.mktemp("bundles"), seed=seed).path for seed in (0, 1)]
    return folders[0], folders[1]


@pytest.fixture
def home(tmp_path: Path, bundles: tuple[Path, Path]) -> Path:
    """The first bundle is live."""
    publish(bundles[0], releases=tmp_path / "releases", now=NOW)
    return tmp_path


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    with TestClient(create_app(ServiceSettings(home=home, poll_seconds=0.02))) as client:
        yield client


@pytest.fixture
def empty_client(tmp_path: Path) -> Iterator[TestClient]:
    """A service that was started before anything was released."""
    with TestClient(create_app(ServiceSettings(home=tmp_path, poll_seconds=0.02))) as client:
        yield client


def wait_until(is_so: Callable[[], bool], *, seconds: float = 20, every: float = 0.01) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(every)


def copy_with_a_broken_file(bundle: Path, target: Path) -> Path:
    shutil.copytree(bundle, target)
    ranker = target / "ranker.txt"
    ranker.write_bytes(ranker.read_bytes()[:-1] + b"!")
    return target
