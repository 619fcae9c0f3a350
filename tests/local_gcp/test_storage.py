"""Cloud Storage: generations, preconditions, and uploads that break.

https://cloud.google.com/storage/docs/request-preconditions and .../performing-resumable-uploads.
"""

import base64
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import google_crc32c
import pytest
from google.api_core.exceptions import MethodNotImplemented, NotFound, PreconditionFailed
from google.cloud import storage
from google.cloud.storage.exceptions import InvalidResponse

from tests.local_gcp import LocalGcp

CHUNK = 256 * 1024


@pytest.fixture
def bucket(fresh_gcp: LocalGcp) -> Iterator[storage.Bucket]:
    client = storage.Client()
    yield client.bucket(fresh_gcp.bucket)
    client.close()


@pytest.fixture
def blob(bucket: storage.Bucket) -> storage.Blob:
    """An object that has been written once."""
    blob = bucket.blob("folder/object")
    blob.upload_from_string(b"first")
    return blob


@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK, 3_000_000])
def test_bytes_come_back_as_they_were_sent(bucket: storage.Bucket, size: int) -> None:
    content = os.urandom(size) + b"\r\n"
    bucket.blob("bytes").upload_from_string(content)
    assert bucket.blob("bytes").download_as_bytes() == content


def test_every_write_makes_a_new_generation_and_a_patch_makes_none(blob: storage.Blob) -> None:
    generations = [blob.generation]
    for _ in range(20):
        blob.upload_from_string(b"again")
        generations.append(blob.generation)
    assert generations == sorted(set(generations))
    blob.metadata = {"owner": "somebody"}
    blob.patch()
    assert (blob.generation, blob.metageneration) == (generations[-1], 2)


def test_an_object_tells_its_checksums_and_its_size(bucket: storage.Bucket, blob: storage.Blob) -> None:
    found = bucket.get_blob(blob.name)
    assert found.md5_hash == base64.b64encode(hashlib.md5(b"first").digest()).decode()
    assert found.crc32c == base64.b64encode(google_crc32c.Checksum(b"first").digest()).decode()
    assert (found.size, found.generation, found.metageneration) == (5, blob.generation, 1)


def test_generation_0_means_that_there_must_be_no_object(bucket: storage.Bucket) -> None:
    bucket.blob("lock").upload_from_string(b"mine", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("lock").upload_from_string(b"theirs", if_generation_match=0)
    assert bucket.blob("lock").download_as_bytes() == b"mine"


def test_a_write_expects_the_generation_it_has_read(bucket: storage.Bucket, blob: storage.Blob) -> None:
    read = blob.generation
    blob.upload_from_string(b"second", if_generation_match=read)
    with pytest.raises(PreconditionFailed):
        bucket.blob(blob.name).upload_from_string(b"third", if_generation_match=read)
    with pytest.raises(PreconditionFailed):
        bucket.blob("nothing").upload_from_string(b"x", if_generation_match=read)
    assert blob.download_as_bytes() == b"second"


def test_the_conditions_of_a_resumable_upload_are_those_of_its_end(bucket: storage.Bucket, blob: storage.Blob) -> None:
    read = blob.generation
    writer = bucket.blob(blob.name, chunk_size=CHUNK).open("wb", if_generation_match=read)
    writer.write(os.urandom(2 * CHUNK))
    blob.upload_from_string(b"overtaken")
    with pytest.raises(InvalidResponse, match="412"):  # the client words the answer to a chunk itself
        writer.close()
    assert bucket.blob(blob.name).download_as_bytes() == b"overtaken"


def test_delete_and_read_honour_their_conditions(bucket: storage.Bucket, blob: storage.Blob) -> None:
    plain, wrong = bucket.blob(blob.name), blob.generation + 1
    with pytest.raises(PreconditionFailed):
        plain.download_as_bytes(if_generation_match=wrong)
    with pytest.raises(PreconditionFailed):
        plain.delete(if_generation_match=wrong)
    with pytest.raises(PreconditionFailed):
        plain.reload(if_metageneration_match=7)
    assert plain.download_as_bytes(if_generation_match=blob.generation) == b"first"
    plain.delete(if_generation_match=blob.generation)
    assert not plain.exists()


def test_an_old_generation_is_not_found(bucket: storage.Bucket, blob: storage.Blob) -> None:
    old = bucket.blob(blob.name, generation=blob.generation)
    blob.upload_from_string(b"second")
    with pytest.raises(NotFound):
        old.download_as_bytes()


def test_copy_and_rewrite_guard_source_and_destination(bucket: storage.Bucket, blob: storage.Blob) -> None:
    copy = bucket.copy_blob(blob, bucket, "copy", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(blob, bucket, "copy", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(blob, bucket, "other", if_source_generation_match=blob.generation + 1)
    with pytest.raises(PreconditionFailed):
        bucket.blob("copy").rewrite(blob, if_generation_match=copy.generation + 1)
    bucket.blob("copy").rewrite(blob, if_generation_match=copy.generation)
    assert bucket.get_blob("copy").generation > copy.generation
    assert not bucket.blob("other").exists()


def test_compose_guards_source_and_destination(bucket: storage.Bucket, blob: storage.Blob) -> None:
    second = bucket.blob("second")
    second.upload_from_string(b" second")
    whole = bucket.blob("whole")
    whole.compose([blob, second], if_generation_match=0)
    assert whole.download_as_bytes() == b"first second"
    with pytest.raises(PreconditionFailed):
        bucket.blob("whole").compose([blob, second], if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("more").compose([blob, second], if_source_generation_match=[blob.generation, 5])


def test_a_batch_deletes_and_refuses_conditions_it_would_not_check(bucket: storage.Bucket, blob: storage.Blob) -> None:
    with pytest.raises(MethodNotImplemented, match="inside a batch"), bucket.client.batch():
        blob.delete(if_generation_match=1)
    with bucket.client.batch():
        bucket.delete_blobs([blob.name])
    assert not blob.exists()


def test_of_many_writers_who_expect_nothing_one_wins(bucket: storage.Bucket) -> None:
    def win(number: int) -> bool:
        try:
            bucket.blob("lock").upload_from_string(str(number), if_generation_match=0)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(win, range(24)))
    assert won.count(True) == 1
    assert bucket.blob("lock").download_as_bytes() == str(won.index(True)).encode()


def test_of_many_counters_none_is_lost(bucket: storage.Bucket) -> None:
    bucket.blob("count").upload_from_string(b"0")

    def add_one() -> bool:
        read = bucket.get_blob("count")
        try:
            number = int(bucket.blob("count", generation=read.generation).download_as_bytes())
            bucket.blob("count").upload_from_string(str(number + 1), if_generation_match=read.generation)
        except (PreconditionFailed, NotFound):  # overtaken before its write, or between its two reads
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: add_one(), range(40)))
    assert bucket.blob("count").download_as_bytes() == str(sum(added)).encode()


# -- uploads that break ------------------------------------------------------------------------------------------------


def begin(local: LocalGcp, name: str) -> str:
    """The address of a new resumable upload."""
    start = Request(
        f"{local.storage_url}/upload/storage/v1/b/{local.bucket}/o?uploadType=resumable&name={name}",
        method="POST",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    with urlopen(start, timeout=5) as answer:
        return answer.headers["Location"]


def put(address: str, content: bytes, content_range: str) -> tuple[int, str | None]:
    """Status and Range of the answer."""
    chunk = Request(address, method="PUT", data=content, headers={"Content-Range": content_range})
    try:
        with urlopen(chunk, timeout=5) as answer:
            return answer.status, None
    except HTTPError as answer:
        answer.close()
        return answer.code, answer.headers["Range"]


def break_off(address: str, sent: bytes, content_range: str, declared: int) -> None:
    """Send less than was declared, and hang up."""
    place = urlsplit(address)
    head = (
        f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Content-Length: {declared}\r\nContent-Range: {content_range}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
        connection.sendall(head.encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1024):
            pass


def test_an_upload_goes_on_after_a_broken_chunk(fresh_gcp: LocalGcp, bucket: storage.Bucket) -> None:
    content = os.urandom(2 * CHUNK)
    address = begin(fresh_gcp, "big")
    assert put(address, b"", f"bytes */{len(content)}") == (308, None)
    assert put(address, content[:CHUNK], f"bytes 0-{CHUNK - 1}/{len(content)}") == (308, f"bytes=0-{CHUNK - 1}")
    break_off(address, content[CHUNK : CHUNK + 1000], f"bytes {CHUNK}-{2 * CHUNK - 1}/{len(content)}", CHUNK)
    status, received = put(address, b"", f"bytes */{len(content)}")
    assert (status, received) == (308, f"bytes=0-{CHUNK + 999}")
    assert not bucket.blob("big").exists()
    # Sent again from the last whole chunk: what is there already is passed over.
    assert put(address, content[CHUNK:], f"bytes {CHUNK}-{2 * CHUNK - 1}/{len(content)}") == (200, None)
    assert bucket.blob("big").download_as_bytes() == content
    # A client that missed that answer asks for it again.
    assert put(address, b"", f"bytes */{len(content)}") == (200, None)


def test_a_gap_in_an_upload_is_an_error(fresh_gcp: LocalGcp) -> None:
    address = begin(fresh_gcp, "big")
    assert put(address, b"late", f"bytes {CHUNK}-{CHUNK + 3}/{CHUNK + 4}")[0] == 400


def test_an_upload_in_one_piece_that_breaks_leaves_no_object(fresh_gcp: LocalGcp, bucket: storage.Bucket) -> None:
    break_off(begin(fresh_gcp, "half"), b"x" * 1000, f"bytes 0-{CHUNK - 1}/{CHUNK}", CHUNK)
    place = urlsplit(fresh_gcp.storage_url)
    head = (
        f"POST /upload/storage/v1/b/{fresh_gcp.bucket}/o?uploadType=media&name=half HTTP/1.1\r\n"
        f"Host: {place.netloc}\r\nContent-Length: 5000\r\n\r\nonly this"
    )
    with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1024) == b""
    assert not bucket.blob("half").exists()


def test_a_refusal_has_the_body_that_clients_read(fresh_gcp: LocalGcp, blob: storage.Blob) -> None:
    address = f"{fresh_gcp.storage_url}{blob.path.replace('/b/', '/storage/v1/b/', 1)}?ifGenerationMatch=1"
    with pytest.raises(HTTPError) as refused:
        urlopen(address, timeout=5)
    body = json.load(refused.value)
    refused.value.close()
    assert (refused.value.code, body["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")


def test_names_are_listed_by_prefix_in_order(bucket: storage.Bucket) -> None:
    for name in ("b/2", "a/1", "b/1"):
        bucket.blob(name).upload_from_string(b"")
    assert [found.name for found in bucket.list_blobs(prefix="b/")] == ["b/1", "b/2"]
