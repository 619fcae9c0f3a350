import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml.contract.errors import StorageError
from ml.storage import ObjectStore, download_folder, store_at, upload_folder
from ml.storage.folders import delete_folder
from tests.gcs import ROOT, GcsServer

FILES = {"a.txt": b"alpha", "deep/b.txt": b"beta", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "folder", FILES)


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def found_in(folder: Path) -> dict[str, bytes]:
    """Every file but the list of them."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if name != "manifest.json"}


def test_a_folder_comes_back_as_it_was(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    upload_folder(folder, store.under("it"))
    download_folder(store.under("it"), tmp_path / "copy")
    assert found_in(tmp_path / "copy") == FILES


def test_the_list_of_files_names_sizes_and_hashes(store: ObjectStore, folder: Path) -> None:
    upload_folder(folder, store)
    listed = json.loads(store.read("manifest.json").data)["files"]
    assert {name: entry["size"] for name, entry in listed.items()} == {"a.txt": 5, "deep/b.txt": 4, "empty": 0}
    assert listed["a.txt"]["sha256"] == "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"


def test_what_has_no_list_yet_is_not_there(store: ObjectStore, tmp_path: Path) -> None:
    store.write("a.txt", b"alpha")
    with pytest.raises(StorageError, match="never uploaded whole"):
        download_folder(store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_list_is_written_last(store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present: list[list[str]] = []
    write = type(store).write

    def watched(self: ObjectStore, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        present.append([each.name for each in self.list()])
        return write(self, name, data, if_generation=if_generation)

    monkeypatch.setattr(type(store), "write", watched)
    upload_folder(folder, store)
    assert present == [sorted(FILES)]


def test_another_folder_is_never_written_over(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    upload_folder(folder, store)
    with pytest.raises(StorageError, match="must be empty or hold this very folder"):
        upload_folder(filled(tmp_path / "other", {"a.txt": b"other"}), store)
    download_folder(store, tmp_path / "copy")
    assert found_in(tmp_path / "copy") == FILES


def test_a_manifest_that_does_not_fit_its_folder_is_not_stored(store: ObjectStore, folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": {"gone.txt": {"sha256": "", "size": 1}}}')
    with pytest.raises(StorageError, match=r"it differs in a\.txt, deep/b\.txt, empty, gone\.txt"):
        upload_folder(folder, store)
    assert store.list() == []


def test_what_was_sent_is_not_sent_again(gcs: GcsServer, folder: Path) -> None:
    store = store_at(gcs.uri)
    for _ in range(2):
        upload_folder(folder, store)
    assert gcs.stored() == {**dict.fromkeys(FILES, 1), "manifest.json": 1}


def test_a_killed_upload_goes_on_with_what_is_missing(gcs: GcsServer, tmp_path: Path) -> None:
    folder = filled(tmp_path / "many", {f"{i}.bin": bytes([i]) * 1000 for i in range(8)})
    program = "import sys; from pathlib import Path; from ml.storage import *; upload_folder(Path(sys.argv[1]), store_at(sys.argv[2]))"
    uploading = subprocess.Popen([sys.executable, "-c", program, str(folder), gcs.uri], cwd=ROOT)
    wait_until(lambda: len(gcs.stored()) >= 3)
    gcs.hold()
    uploading.send_signal(signal.SIGKILL)
    uploading.wait()
    gcs.let_go()
    time.sleep(0.1)  # a request that was on its way when the sender died may still be stored
    sent = gcs.stored()
    assert "manifest.json" not in sent, "it was killed too late to show anything"
    store = store_at(gcs.uri)
    with pytest.raises(StorageError, match="never uploaded whole"):
        download_folder(store, tmp_path / "early")

    upload_folder(folder, store)
    assert gcs.stored() == dict.fromkeys([*found_in(folder), "manifest.json"], 1)
    download_folder(store, tmp_path / "copy")
    assert found_in(tmp_path / "copy") == found_in(folder)


def test_a_download_that_broke_off_goes_on_with_what_is_missing(
    store: ObjectStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_folder(folder, store)
    download, asked = type(store).download, list[str]()

    def breaks_off(self: ObjectStore, name: str, target: Path) -> None:
        asked.append(name)
        if len(asked) == 2:
            target.write_bytes(b"be")
            raise StorageError("the network is away")
        download(self, name, target)

    monkeypatch.setattr(type(store), "download", breaks_off)
    with pytest.raises(StorageError, match="the network is away"):
        download_folder(store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    download_folder(store, tmp_path / "copy")
    assert asked == ["a.txt", "deep/b.txt", "deep/b.txt", "empty"]
    assert found_in(tmp_path / "copy") == FILES


def test_a_file_of_another_hash_is_refused_and_nothing_appears(
    store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    upload_folder(folder, store)
    store.write("deep/b.txt", b"bets")
    with pytest.raises(StorageError, match=r"deep/b\.txt in .* must have sha256 .* Received: "):
        download_folder(store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.write("deep/b.txt", b"beta")
    download_folder(store, tmp_path / "copy")
    assert found_in(tmp_path / "copy") == FILES


def test_a_flipped_byte_in_the_bucket_is_refused(gcs: GcsServer, folder: Path, tmp_path: Path) -> None:
    upload_folder(folder, store_at(gcs.uri))
    gcs.flip_a_bit_of("a.txt")
    with pytest.raises(StorageError, match=r"a\.txt must have md5"):
        download_folder(store_at(gcs.uri), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_damaged_copy_is_mended_by_bringing_what_is_wrong(
    store: ObjectStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_folder(folder, store)
    copy = tmp_path / "copy"
    download_folder(store, copy)
    (copy / "a.txt").write_bytes(b"alphA")
    (copy / "added.txt").write_bytes(b"?")
    download, asked = type(store).download, list[str]()

    def watched(self: ObjectStore, name: str, target: Path) -> None:
        asked.append(name)
        download(self, name, target)

    monkeypatch.setattr(type(store), "download", watched)
    for _ in range(2):
        download_folder(store, copy)
    assert asked == ["a.txt"]
    assert found_in(copy) == FILES


def test_a_list_of_another_hash_than_was_promised_is_refused(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    upload_folder(folder, store)
    with pytest.raises(StorageError, match="must have sha256 00"):
        download_folder(store, tmp_path / "copy", manifest_sha256="00")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"files": 1}', b"[]"])
def test_a_list_that_is_none_is_refused(store: ObjectStore, tmp_path: Path, content: bytes) -> None:
    store.write("manifest.json", content)
    with pytest.raises(StorageError, match="is no list of files"):
        download_folder(store, tmp_path / "copy")


def test_a_list_that_leads_out_of_the_folder_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    store.write("manifest.json", b'{"files": {"../../escaped": {"sha256": "", "size": 0}}}')
    with pytest.raises(StorageError, match="none of them empty or hidden"):
        download_folder(store, tmp_path / "in" / "copy")
    assert not (tmp_path / "escaped").exists()


def test_a_deleted_folder_leaves_nothing(store: ObjectStore, folder: Path) -> None:
    upload_folder(folder, store.under("it"))
    delete_folder(store.under("it"))
    assert store.list() == []


def wait_until(is_so: object) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)
