"""What every store promises, on each of them."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from ml.contract.errors import PreconditionError, StorageError
from ml.storage import ObjectStore, store_at
from ml.storage.gcs import GcsStore
from ml.storage.objects import ABSENT
from tests.gcs import GcsServer


def test_what_was_written_is_read_with_its_generation(store: ObjectStore) -> None:
    generation = store.write("a/b.json", b"one")
    assert store.read("a/b.json") == (b"one", generation)


def test_what_is_not_there_reads_as_none(store: ObjectStore) -> None:
    assert store.read("absent.json") is None
    assert store.read("absent/deeper.json") is None


def test_an_empty_object_is_one(store: ObjectStore) -> None:
    generation = store.write("empty", b"")
    assert store.read("empty") == (b"", generation)


def test_every_write_has_a_later_generation(store: ObjectStore) -> None:
    generations = [store.write("a", b"x") for _ in range(5)]
    assert sorted(set(generations)) == generations


def test_a_write_with_the_generation_it_read_replaces(store: ObjectStore) -> None:
    first = store.write("a", b"one", if_generation=ABSENT)
    second = store.write("a", b"two", if_generation=first)
    assert store.read("a") == (b"two", second)


@pytest.mark.parametrize("generation", [ABSENT, 12345])
def test_a_write_with_another_generation_is_refused_and_changes_nothing(store: ObjectStore, generation: int) -> None:
    store.write("a", b"one")
    with pytest.raises(PreconditionError, match=r"a.* must be at generation .* Somebody else wrote it"):
        store.write("a", b"two", if_generation=generation)
    assert store.read("a").data == b"one"


def test_of_writers_with_one_generation_exactly_one_wins(store: ObjectStore) -> None:
    before = store.write("a", b"start")

    def write(writer: int) -> bool:
        try:
            store.write("a", f"of {writer}".encode(), if_generation=before)
        except PreconditionError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert store.read("a").data == f"of {won.index(True)}".encode()


def test_a_file_goes_up_and_comes_down_byte_for_byte(store: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(Random(1).randbytes(3_000_000))
    store.upload(source, "big.bin")
    store.download("big.bin", target)
    assert target.read_bytes() == source.read_bytes()


def test_a_download_of_nothing_says_what_is_missing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"absent\.bin"):
        store.download("absent.bin", tmp_path / "target")


def test_it_knows_whether_it_holds_these_very_bytes(store: ObjectStore, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    same.write_bytes(b"one")
    other.write_bytes(b"two")
    store.upload(same, "a")
    assert store.holds("a", same)
    assert not store.holds("a", other)
    assert not store.holds("b", same)


def test_a_list_has_names_sizes_and_generations_in_order(store: ObjectStore) -> None:
    written = {name: store.write(name, b"x" * size) for size, name in enumerate(["c", "a/1", "a/2", "ab"])}
    assert [(each.name, each.size) for each in store.list()] == [("a/1", 1), ("a/2", 2), ("ab", 3), ("c", 0)]
    assert {each.name: each.generation for each in store.list()} == written
    assert [each.name for each in store.list("a/")] == ["a/1", "a/2"]


def test_what_was_deleted_is_gone_and_may_be_deleted_again(store: ObjectStore) -> None:
    store.write("a/b", b"x")
    for _ in range(2):
        store.delete("a/b")
    assert store.list() == []
    assert store.read("a/b") is None


def test_a_deeper_root_is_the_same_store(store: ObjectStore) -> None:
    store.under("a").under("b").write("c", b"x")
    assert [each.name for each in store.list()] == ["a/b/c"]
    assert store.under("a/b").uri == f"{store.uri}/a/b"
    assert [each.name for each in store.under("a").list()] == ["b/c"]


@pytest.mark.parametrize("name", ["../escape", "/absolute", "a//b", "", "a/../../b", ".hidden", "a\\b"])
def test_a_name_that_leaves_the_root_is_refused(store: ObjectStore, name: str) -> None:
    with pytest.raises(StorageError, match="none of them empty or hidden"):
        store.write(name, b"x")


@pytest.mark.parametrize("uri", ["s3://bucket/x", "gs://", "gs:///x"])
def test_an_address_of_no_store_is_refused(uri: str) -> None:
    with pytest.raises(StorageError, match=r"gs://<bucket>/<prefix>\. Received: "):
        store_at(uri)


def test_a_chunk_that_broke_off_is_sent_again_and_the_rest_goes_on(
    gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.storage.gcs.CHUNK_BYTES", 1 << 20)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(Random(2).randbytes(10_000_000))  # above 8 MB Google's client uploads in chunks
    store = store_at(gcs.uri)
    gcs.drop_next_chunk()
    store.upload(source, "big.bin")
    assert gcs.stored() == {"big.bin": 1}
    store.download("big.bin", target)
    assert target.read_bytes() == source.read_bytes()


def test_a_write_whose_answer_was_lost_is_not_taken_for_somebody_elses(gcs: GcsServer) -> None:
    store = store_at(gcs.uri)
    before = store.write("a", b"one")
    gcs.keep_silent_once()
    after = store.write("a", b"two", if_generation=before)
    assert store.read("a") == (b"two", after)
    assert gcs.stored() == {"a": 2}, "the second attempt was refused, and rightly so"


def test_a_folder_made_in_googles_console_is_no_object(gcs: GcsServer) -> None:
    store = store_at(gcs.uri)
    assert isinstance(store, GcsStore)
    store.bucket.blob("a/").upload_from_string(b"")
    store.write("a/b", b"x")
    assert [each.name for each in store.list()] == [each.name for each in store.list("a/")] == ["a/b"]


def test_without_credentials_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(
        StorageError, match=r"No client for gs://shop: .*absent\.json.* Set GOOGLE_APPLICATION_CREDENTIALS"
    ):
        store_at("gs://shop")


def test_without_googles_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    with pytest.raises(StorageError, match=r"needs google-cloud-storage\. .* Install aisle\[serve-gcp\]"):
        store_at("gs://shop")


def test_bytes_that_changed_in_the_bucket_are_refused(gcs: GcsServer, tmp_path: Path) -> None:
    store = store_at(gcs.uri)
    store.write("a", b"one")
    gcs.flip_a_bit_of("a")
    with pytest.raises(StorageError, match="must have md5"):
        store.read("a")
    with pytest.raises(StorageError, match="must have md5"):
        store.download("a", tmp_path / "a")


@pytest.mark.parametrize("trouble", ["kill", "pause"])
def test_a_server_that_is_away_or_silent_is_given_up_after_the_stated_time(gcs: GcsServer, trouble: str) -> None:
    store = store_at(gcs.uri)
    getattr(gcs, trouble)()
    started = time.monotonic()
    with pytest.raises(StorageError, match="a cannot be read"):
        store.read("a")
    # One answer may take SILENCE_SECONDS and a last try may begin just before GIVE_UP_SECONDS are over.
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("bucket_uri")
def test_a_bucket_that_is_not_there_is_named() -> None:
    with pytest.raises(StorageError, match="gs://nowhere"):
        store_at("gs://nowhere").write("a", b"x")
