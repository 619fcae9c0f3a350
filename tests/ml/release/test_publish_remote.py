"""Releases that many machines follow, in a folder they share or in a bucket."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest

from ml.contract.errors import ReleaseError, StorageError
from ml.contract.release import POINTER, ReleasePointer
from ml.release import prune, publish, published, rollback
from ml.storage import Mirror, ObjectStore, store_at
from tests.gcs import GcsServer
from tests.ml.release.conftest import MakeBundle

NOW = datetime(2026, 9, 30, 4, tzinfo=UTC)


@pytest.fixture(params=["folder", "gcs"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return store_at(tmp_path / "shared")
    return store_at(request.getfixturevalue("bucket_uri"))


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Path]:
    """Releases of a machine, by its name."""
    return lambda name: tmp_path / name / "releases"


def live_there(remote: ObjectStore) -> ReleasePointer:
    return ReleasePointer.parse(remote.read(POINTER).data, where=remote.uri)


def test_what_one_machine_publishes_another_one_answers_from(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore
) -> None:
    here = publish(make_bundle(1), releases=machine("trains"), now=NOW, remote=remote)
    there = Mirror(remote, machine("serves")).pull()
    assert here == there == live_there(remote) == ReleasePointer.read(machine("trains"))
    assert (there.bundle_in(machine("serves")) / "ranker.txt").read_text() == "trees of day 1"


def test_the_pointer_is_written_last(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, names = type(remote).write, list[str]()

    def watched(self: ObjectStore, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        names.append(name)
        return write(self, name, data, if_generation=if_generation)

    monkeypatch.setattr(type(remote), "write", watched)
    publish(make_bundle(1), releases=machine("trains"), now=NOW, remote=remote)
    assert names == ["manifest.json", POINTER]


def test_of_two_publishers_exactly_one_wins_and_the_other_is_told(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(make_bundle(1), releases=machine("first"), now=NOW, remote=remote)
    write, both_ready = type(remote).write, Barrier(2)

    def together(self: ObjectStore, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        if name == POINTER:
            both_ready.wait(20)
        return write(self, name, data, if_generation=if_generation)

    monkeypatch.setattr(type(remote), "write", together)
    bundles = {day: make_bundle(day) for day in (2, 3)}

    def run(day: int) -> str:
        try:
            return publish(bundles[day], releases=machine(f"of day {day}"), now=NOW, remote=remote).version
        except ReleaseError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(run, bundles))
    winner = live_there(remote).version
    assert winner in told
    [loser] = [each for each in told if each != winner]
    assert f"Received: {winner}, which somebody else published meanwhile" in loser
    lost = next(day for day in bundles if not winner.startswith(f"2026-09-0{day}"))
    assert not (machine(f"of day {lost}") / POINTER).exists(), "the loser's own machine does not serve what lost"


def test_a_publisher_that_began_before_another_finished_is_told(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = make_bundle(1), make_bundle(2)
    upload_folder = publish.__globals__["upload_folder"]

    def slow(folder: Path, store: ObjectStore) -> None:
        monkeypatch.setitem(publish.__globals__, "upload_folder", upload_folder)
        publish(theirs, releases=machine("theirs"), now=NOW, remote=remote)
        upload_folder(folder, store)

    monkeypatch.setitem(publish.__globals__, "upload_folder", slow)
    with pytest.raises(ReleaseError, match=r"was to replace nothing\. Received: 2026-09-01"):
        publish(ours, releases=machine("ours"), now=NOW, remote=remote)
    assert live_there(remote).version.startswith("2026-09-01")


def test_a_rollback_on_a_machine_that_never_had_the_release_brings_it(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore
) -> None:
    first, second = (publish(make_bundle(day), releases=machine("trains"), now=NOW, remote=remote) for day in (1, 2))
    back = rollback(machine("another"), now=NOW, remote=remote)
    assert (back.version, back.previous) == (first.version, second.version)
    assert live_there(remote) == back == ReleasePointer.read(machine("another"))
    assert [(each.version, each.is_live) for each in published(remote)] == [
        (second.version, False),
        (first.version, True),
    ]


def test_a_rollback_to_a_release_damaged_in_the_store_is_refused(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore
) -> None:
    first, second = (publish(make_bundle(day), releases=machine("trains"), now=NOW, remote=remote) for day in (1, 2))
    remote.write(f"{first.version}/ranker.txt", b"trees of day 9")
    with pytest.raises(StorageError, match=r"ranker\.txt in .* must have sha256"):
        rollback(machine("another"), now=NOW, remote=remote)
    assert live_there(remote) == second


def test_pruning_removes_whole_releases_and_never_the_live_one_nor_the_one_before(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore
) -> None:
    versions = [
        publish(make_bundle(day), releases=machine("trains"), now=NOW, remote=remote).version for day in (1, 2, 3, 4)
    ]
    rollback(machine("trains"), now=NOW, to=versions[0], remote=remote)
    assert prune(remote, keep=1) == [versions[2], versions[1]]
    assert {each.name.split("/")[0] for each in remote.list()} == {versions[0], versions[3], POINTER}


def test_a_mirror_keeps_a_few_releases(
    make_bundle: MakeBundle, machine: Callable[[str], Path], remote: ObjectStore
) -> None:
    mirror, versions = Mirror(remote, machine("serves")), []
    for day in (1, 2, 3, 4, 5):
        versions.append(publish(make_bundle(day), releases=machine("trains"), now=NOW, remote=remote).version)
        mirror.pull()
    kept = {path.parent.name for path in machine("serves").glob("*/manifest.json")}
    assert kept == set(versions[2:])


def test_a_store_that_is_away_leaves_everything_as_it_was(
    make_bundle: MakeBundle, machine: Callable[[str], Path], gcs: GcsServer
) -> None:
    remote = store_at(gcs.uri)
    first = publish(make_bundle(1), releases=machine("trains"), now=NOW, remote=remote)
    gcs.pause()
    with pytest.raises(StorageError, match="cannot be read"):
        publish(make_bundle(2), releases=machine("trains"), now=NOW, remote=remote)
    gcs.resume()
    assert ReleasePointer.read(machine("trains")) == live_there(remote) == first


def test_a_publication_that_broke_off_goes_on_where_it_did(
    make_bundle: MakeBundle, machine: Callable[[str], Path], gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, bundle = store_at(gcs.uri), make_bundle(1)
    upload = type(remote).upload

    def once(self: ObjectStore, source: Path, name: str) -> None:
        upload(self, source, name)
        raise StorageError("the network is away")

    with monkeypatch.context() as broken:
        broken.setattr(type(remote), "upload", once)
        with pytest.raises(StorageError, match="the network is away"):
            publish(bundle, releases=machine("trains"), now=NOW, remote=remote)
    assert remote.read(POINTER) is None
    pointer = publish(bundle, releases=machine("trains"), now=NOW, remote=remote)
    names = ["index/rows.npy", "ranker.txt", "manifest.json"]
    assert gcs.stored() == {**{f"{pointer.version}/{name}": 1 for name in names}, POINTER: 1}
