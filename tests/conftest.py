"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ml.bundle.write import BundleFolder
from ml.runtime.bundle import Bundle, open_bundle
from tests import world
from tests.gcs import GcsServer
from tests.local_gcp import LocalGcp


@pytest.fixture(scope="session", autouse=True)
def _unhurried() -> Iterator[None]:
    """Machines that run tests are slow at times, and a late list is another list: a test that is about deadlines sets its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AISLE_DEADLINE_MS", "60000")
        patch.setenv("AISLE_MAX_WAIT_MS", "10000")
        yield


@pytest.fixture(scope="session")
def written_bundle(tmp_path_factory: pytest.TempPathFactory) -> BundleFolder:
    """The small world's bundle on disk. Do not write into it: copy it."""
    return world.bundle_folder(tmp_path_factory.mktemp("written_bundle"))


@pytest.fixture(scope="session")
def bundle(written_bundle: BundleFolder) -> Bundle:
    return open_bundle(written_bundle.path)


@pytest.fixture
def repository() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def gcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    """An empty Cloud Storage server of this test's own, to hold up or kill."""
    server = GcsServer.at(tmp_path / "gcs")
    server.start()
    _lead_clients_to(server, monkeypatch)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _running_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    server = GcsServer.at(tmp_path_factory.mktemp("gcs") / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bucket_uri(_running_gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """gs:// address of a place where nothing is yet, on a server that others use too."""
    _lead_clients_to(_running_gcs, monkeypatch)
    return f"{_running_gcs.uri}/{uuid4().hex}"


def _lead_clients_to(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop")
    for name, seconds in (("CONNECT_SECONDS", 1.0), ("SILENCE_SECONDS", 1.0), ("GIVE_UP_SECONDS", 2.0)):
        monkeypatch.setattr(f"ml.storage.gcs.{name}", seconds)


@pytest.fixture(scope="session")
def local_gcp() -> Iterator[LocalGcp]:
    """BigQuery and Cloud Storage as local servers, started by the first test that asks. Its environment is not set."""
    with LocalGcp() as local:
        yield local


@pytest.fixture
def fresh_gcp(local_gcp: LocalGcp, monkeypatch: pytest.MonkeyPatch) -> LocalGcp:
    """The local servers, emptied, and the environment in which unchanged Google clients find them."""
    local_gcp.reset()
    for name, value in local_gcp.environment().items():
        monkeypatch.setenv(name, value)
    return local_gcp
