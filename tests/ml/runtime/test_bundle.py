"""A bundle is exactly what its manifest says, or it is not opened."""

import gc
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import BundleError
from ml.contract.manifest import Manifest
from ml.runtime.bundle import Names, open_bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest
from tests import world


@pytest.fixture
def copy(written_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(written_bundle.path, tmp_path / written_bundle.version))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_every_flipped_byte_is_found_and_its_file_named(written_bundle, tmp_path):
    rng = np.random.default_rng(0)
    for path in files(written_bundle.path):
        name = path.relative_to(written_bundle.path).as_posix()
        folder = Path(shutil.copytree(written_bundle.path, tmp_path / name.replace("/", "_")))
        content = bytearray((folder / name).read_bytes())
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(content)
        with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
            open_bundle(folder)


@pytest.mark.parametrize("name", [Names.ITEMS, Names.RANKER, "query_tower.onnx", "candidate_sources/ease/rows.npy"])
def test_a_file_cut_short_is_named(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=f"{name} must have"):
        open_bundle(copy)


def test_a_missing_file_is_named(copy):
    (copy / Names.VECTORS).unlink()
    with pytest.raises(BundleError, match=r"item_vectors\.npy is missing"):
        open_bundle(copy)


def test_an_added_file_is_named(copy):
    (copy / "index" / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"index/extra\.bin was added"):
        open_bundle(copy)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"Expected a release bundle with a manifest\.json"):
        open_bundle(tmp_path)


def test_a_bundle_answers_the_same_wherever_it_is_moved(copy, bundle):
    moved = open_bundle(copy)
    request = HomeRequest(user_id=world.user_id(3), limit=10)
    assert recommend(moved, request, now=world.CUT) == recommend(bundle, request, now=world.CUT)


def test_nothing_in_a_bundle_is_pickled(written_bundle):
    for path in files(written_bundle.path):
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[name].dtype != object for name in arrays.files)
        assert path.suffix not in {".pkl", ".pickle", ".joblib"}


def test_the_same_content_gets_the_same_version(written_bundle, tmp_path):
    assert world.bundle_folder(tmp_path).version == written_bundle.version


def test_a_failed_write_leaves_nothing_behind(bundle, written_bundle, tmp_path, monkeypatch):
    from ml.bundle import write

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(write, "sync_tree", fail)
    with pytest.raises(OSError, match="disk full"):
        write.write_bundle(
            bundle, [_towers(written_bundle.path, tmp_path)], tmp_path / "bundles", facts=world.facts(40, 60)
        )
    assert list((tmp_path / "bundles").iterdir()) == []


def _towers(folder: Path, tmp_path: Path) -> Path:
    towers = tmp_path / "towers"
    shutil.copytree(folder / "vocabularies", towers / "vocabularies")
    for name in ("query_tower.onnx", "candidate_tower.onnx"):
        shutil.copy(folder / name, towers / name)
    return towers


def test_a_bundle_nobody_holds_is_freed_at_once_without_the_collector(written_bundle):
    """The service keeps the collector from what it began with, and a release may be hundreds of megabytes."""
    opened = open_bundle(written_bundle.path)
    for request in (HomeRequest(user_id=world.user_id(0), region="north"), ProductRequest(item_id=world.item_id(0))):
        recommend(opened, request, now=world.CUT)
    opened.items.available_in("north")
    parts = {name: weakref.ref(getattr(opened, name)) for name in ("items", "users", "index", "sources", "ranker")}
    gc.disable()
    try:
        del opened
        assert {name: part() for name, part in parts.items()} == dict.fromkeys(parts)
    finally:
        gc.enable()


def test_parts_of_another_catalogue_are_not_put_together(copy, monkeypatch):
    monkeypatch.setattr("ml.runtime.bundle.verified", lambda folder, **_: Manifest.read(folder))
    vectors = np.load(copy / Names.VECTORS)
    np.save(copy / Names.VECTORS, np.concatenate([vectors, vectors[:1]]))
    with pytest.raises(BundleError, match="all parts must be of one catalogue"):
        open_bundle(copy)


def test_neighbours_outside_the_catalogue_never_reach_the_kernel(copy, monkeypatch):
    monkeypatch.setattr("ml.runtime.bundle.verified", lambda folder, **_: Manifest.read(folder))
    table = copy / Names.SOURCES / "item_knn"
    rows = np.load(table / "rows.npy")
    rows[0] = len(np.load(table / "starts.npy")) - 1
    np.save(table / "rows.npy", rows)
    with pytest.raises(BundleError, match="lists that point elsewhere"):
        open_bundle(copy)
