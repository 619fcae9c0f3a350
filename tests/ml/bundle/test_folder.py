import shutil
from pathlib import Path

import pytest

from ml.bundle.write import BundleFolder
from ml.runtime.bundle import verified


def test_a_stored_bundle_is_read_where_the_original_never_was(written_bundle: BundleFolder, tmp_path: Path) -> None:
    original = BundleFolder(
        shutil.copytree(written_bundle.path, tmp_path / written_bundle.version), written_bundle.version
    )
    original.save(tmp_path / "stored")
    moved = (tmp_path / "stored").rename(tmp_path / "another_machine")
    shutil.rmtree(original.path)
    read = BundleFolder.load(moved)
    assert read.version == original.version
    assert verified(read.path).version == original.version


def test_on_one_disk_its_files_are_not_copied(written_bundle: BundleFolder, tmp_path: Path) -> None:
    original = BundleFolder(
        shutil.copytree(written_bundle.path, tmp_path / written_bundle.version), written_bundle.version
    )
    original.save(tmp_path / "stored")
    stored = BundleFolder.load(tmp_path / "stored")
    assert (stored.path / "ranker.txt").samefile(original.path / "ranker.txt")


def test_on_another_disk_they_are(
    written_bundle: BundleFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_disk(_source: str, _target: str) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr("os.link", another_disk)
    written_bundle.save(tmp_path / "stored")
    assert verified(BundleFolder.load(tmp_path / "stored").path).version == written_bundle.version
