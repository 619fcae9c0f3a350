from pathlib import Path

import pytest

from ml.contract.errors import StorageError
from ml.contract.release import ReleasePointer
from orchestration.resources.releases import ReleaseStore
from tests.gcs import GcsServer


@pytest.fixture(params=["home", "folder", "gcs"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    if request.param == "home":
        return None
    return str(tmp_path / "shared") if request.param == "folder" else request.getfixturevalue("bucket_uri")


def store_of(tmp_path: Path, machine: str, remote: str | None) -> ReleaseStore:
    return ReleaseStore(home=str(tmp_path / machine), remote=remote)


def test_before_the_first_release_there_is_no_champion(tmp_path: Path, remote: str | None) -> None:
    assert store_of(tmp_path, "trains", remote).live_bundle() is None
    assert store_of(tmp_path, "trains", remote).published() == []


def test_the_champion_is_found_where_it_was_published(tmp_path: Path, remote: str | None, written_bundle) -> None:
    store = store_of(tmp_path, "trains", remote)
    store.publish(written_bundle.path)
    found = store.live_bundle()
    assert found == store.folder / written_bundle.version
    assert [(each.version, each.is_live) for each in store.published()] == [(written_bundle.version, True)]


@pytest.mark.parametrize("remote", ["folder", "gcs"], indirect=True)
def test_a_fresh_machine_brings_the_champion(tmp_path: Path, remote: str, written_bundle) -> None:
    store_of(tmp_path, "trains", remote).publish(written_bundle.path)
    fresh = store_of(tmp_path, "fresh", remote)
    assert fresh.live_bundle() == fresh.folder / written_bundle.version
    assert ReleasePointer.read(fresh.folder).version == written_bundle.version


def test_any_release_that_is_kept_can_be_opened(tmp_path: Path, remote: str | None, written_bundle) -> None:
    store_of(tmp_path, "trains", remote).publish(written_bundle.path)
    asks = store_of(tmp_path, "trains" if remote is None else "fresh", remote)
    opened = asks.bundle(written_bundle.version)
    assert opened is not None
    assert opened.version == written_bundle.version
    assert asks.bundle("of-long-ago") is None


def test_a_champion_that_cannot_be_asked_for_is_never_taken_from_a_copy(
    tmp_path: Path, gcs: GcsServer, written_bundle
) -> None:
    """The gate must compare with what is live, not with what this machine remembers."""
    store = store_of(tmp_path, "trains", gcs.uri)
    store.publish(written_bundle.path)
    gcs.kill()
    with pytest.raises(StorageError, match=r"current\.json cannot be read"):
        store.live_bundle()
