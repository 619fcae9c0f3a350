from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml.contract.errors import BundleError, ReleaseError, StorageError
from ml.contract.files import LOCK
from ml.contract.manifest import Manifest
from ml.contract.release import POINTER, ReleasePointer
from ml.release.publish import prune, publish, published, rollback
from tests.ml.release.conftest import MakeBundle

NOW = datetime(2026, 9, 30, 4, tzinfo=UTC)


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    return tmp_path / "releases"


def live_ranker(releases: Path) -> str:
    return (ReleasePointer.read(releases).bundle_in(releases) / "ranker.txt").read_text()


def names_in(releases: Path) -> set[str]:
    """All but the lock, which stays."""
    return {path.name for path in releases.iterdir()} - {LOCK}


def test_a_published_bundle_is_the_live_one_and_a_whole_copy(make_bundle: MakeBundle, releases: Path) -> None:
    bundle = make_bundle(1)
    pointer = publish(bundle, releases=releases, now=NOW)
    assert pointer == ReleasePointer.read(releases)
    assert (pointer.version, pointer.previous, pointer.released_at) == (Manifest.read(bundle).version, None, NOW)
    assert live_ranker(releases) == "trees of day 1"
    assert names_in(releases) == {pointer.version, POINTER}


def test_the_pointer_remembers_what_was_live_before(make_bundle: MakeBundle, releases: Path) -> None:
    first = publish(make_bundle(1), releases=releases, now=NOW)
    second = publish(make_bundle(2), releases=releases, now=NOW)
    assert second.previous == first.version
    assert [(each.version, each.is_live) for each in published(releases)] == [
        (second.version, True),
        (first.version, False),
    ]


def test_publishing_the_live_version_again_changes_nothing_but_the_time(
    make_bundle: MakeBundle, releases: Path
) -> None:
    publish(make_bundle(1), releases=releases, now=NOW)
    bundle = make_bundle(2)
    second = publish(bundle, releases=releases, now=NOW)
    assert publish(bundle, releases=releases, now=NOW) == second


def test_a_bundle_judged_against_what_is_live_takes_its_place(make_bundle: MakeBundle, releases: Path) -> None:
    first = publish(make_bundle(1), releases=releases, now=NOW, replacing=None)
    bundle = make_bundle(2)
    second = publish(bundle, releases=releases, now=NOW, replacing=first.version)
    assert ReleasePointer.read(releases) == second
    again = publish(bundle, releases=releases, now=NOW, replacing=first.version)
    assert again == second, "a second attempt of the one who published it is no news"


@pytest.mark.parametrize("judged_against", [None, "the one before"])
def test_a_bundle_judged_against_a_champion_that_is_no_longer_live_is_not_published(
    make_bundle: MakeBundle, releases: Path, judged_against: str | None
) -> None:
    first = publish(make_bundle(1), releases=releases, now=NOW)
    live = publish(make_bundle(2), releases=releases, now=NOW)
    judged = judged_against and first.version
    ours = make_bundle(3)
    with pytest.raises(
        ReleaseError, match=rf"was to replace {judged or 'nothing'}\. Received: {live.version}.*Judge the bundle"
    ):
        publish(ours, releases=releases, now=NOW, replacing=judged)
    assert ReleasePointer.read(releases) == live
    assert names_in(releases) == {first.version, live.version, POINTER}, "nor was anything copied"


def test_a_damaged_bundle_is_not_published_and_the_old_one_stays_live(make_bundle: MakeBundle, releases: Path) -> None:
    publish(make_bundle(1), releases=releases, now=NOW)
    damaged = make_bundle(2)
    (damaged / "ranker.txt").write_text("trees of day 3")
    with pytest.raises(BundleError, match=r"checksum on ranker\.txt"):
        publish(damaged, releases=releases, now=NOW)
    assert live_ranker(releases) == "trees of day 1"
    assert len(names_in(releases)) == 2  # the release and the pointer: no draft is left


def test_a_writer_that_dies_before_the_pointer_leaves_the_old_release_live(
    make_bundle: MakeBundle, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(make_bundle(1), releases=releases, now=NOW)

    def dies(_draft: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("ml.storage.folder.sync", dies)
    with pytest.raises(StorageError, match="No space"):
        publish(make_bundle(2), releases=releases, now=NOW)
    assert live_ranker(releases) == "trees of day 1"


def test_rollback_returns_to_what_was_live_before_and_back_again(make_bundle: MakeBundle, releases: Path) -> None:
    for day in (1, 2):
        publish(make_bundle(day), releases=releases, now=NOW)
    rollback(releases, now=NOW)
    assert live_ranker(releases) == "trees of day 1"
    rollback(releases, now=NOW)
    assert live_ranker(releases) == "trees of day 2"


def test_rollback_goes_to_any_version_that_is_still_here(make_bundle: MakeBundle, releases: Path) -> None:
    first = publish(make_bundle(1), releases=releases, now=NOW)
    for day in (2, 3):
        publish(make_bundle(day), releases=releases, now=NOW)
    rollback(releases, now=NOW, to=first.version)
    assert live_ranker(releases) == "trees of day 1"


def test_rollback_without_an_older_release_says_so(make_bundle: MakeBundle, releases: Path) -> None:
    publish(make_bundle(1), releases=releases, now=NOW)
    with pytest.raises(ReleaseError, match="nothing was live before"):
        rollback(releases, now=NOW)


def test_rollback_to_a_damaged_release_is_refused(make_bundle: MakeBundle, releases: Path) -> None:
    first = publish(make_bundle(1), releases=releases, now=NOW)
    publish(make_bundle(2), releases=releases, now=NOW)
    (releases / first.version / "index" / "rows.npy").unlink()
    with pytest.raises(BundleError, match=r"rows\.npy is missing"):
        rollback(releases, now=NOW)
    assert live_ranker(releases) == "trees of day 2"


def test_pruning_never_takes_the_live_release_nor_the_one_before(make_bundle: MakeBundle, releases: Path) -> None:
    versions = [publish(make_bundle(day), releases=releases, now=NOW).version for day in (1, 2, 3, 4)]
    rollback(releases, now=NOW, to=versions[0])
    assert prune(releases, keep=1) == [versions[2], versions[1]]
    assert {each.version for each in published(releases)} == {versions[0], versions[3]}


def test_no_release_yet_says_how_to_make_one(releases: Path) -> None:
    with pytest.raises(ReleaseError, match="Nothing is released yet"):
        ReleasePointer.read(releases)


def test_a_pointer_that_leads_out_of_the_folder_is_refused(make_bundle: MakeBundle, releases: Path) -> None:
    pointer = publish(make_bundle(1), releases=releases, now=NOW)
    (releases / POINTER).write_text(
        pointer.model_dump_json().replace(f'"folder":"{pointer.folder}"', '"folder":"../x"')
    )
    with pytest.raises(ReleaseError, match="not a release pointer"):
        ReleasePointer.read(releases)


def test_a_release_whose_manifest_was_exchanged_is_refused(make_bundle: MakeBundle, releases: Path) -> None:
    pointer = publish(make_bundle(1), releases=releases, now=NOW)
    Manifest.read(make_bundle(2)).write(releases / pointer.folder)
    with pytest.raises(ReleaseError, match="must have a manifest with sha256"):
        pointer.bundle_in(releases)


def test_a_rollback_writes_a_damaged_pointer_anew(make_bundle: MakeBundle, releases: Path) -> None:
    first = publish(make_bundle(1), releases=releases, now=NOW)
    (releases / POINTER).write_text("damaged")
    assert not any(release.is_live for release in published(releases))
    with pytest.raises(ReleaseError, match="is not a release pointer"):
        rollback(releases, now=NOW)
    assert rollback(releases, now=NOW, to=first.version).version == first.version
    assert live_ranker(releases) == "trees of day 1"
