"""A Cloud Storage bucket as an object store. Google's client is imported here and nowhere else in `ml`."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from ml.contract.errors import PreconditionError, StorageError
from ml.storage.objects import GCS_SCHEME, Content, StoredObject, checked

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob, Bucket

CHUNK_BYTES = 8 << 20
"""A broken transfer goes on from its last whole chunk. Google asks for a multiple of 256 KiB."""
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 10.0
"""How long one answer may keep us waiting. The client's own default is a minute."""
GIVE_UP_SECONDS = 30.0
"""How long one request, or one chunk, is tried again before it has failed. The client's own default is two minutes."""
_READS = 3


@dataclass(frozen=True)
class GcsStore:
    """Objects of a bucket whose names begin with `prefix`. Generations and preconditions are the bucket's own."""

    bucket: Bucket
    prefix: str = ""
    """Empty, or ends with /."""

    @classmethod
    def at(cls, uri: str) -> Self:
        """The store at gs://<bucket>/<prefix>; STORAGE_EMULATOR_HOST leads Google's client to another server.

        Raises:
            StorageError: there are no credentials, or the address names no bucket.
        """
        name, _, prefix = uri.removeprefix(GCS_SCHEME).partition("/")
        if not name:
            raise StorageError(f"A Cloud Storage address must be gs://<bucket>/<prefix>. Received: {uri}.")
        try:
            from google.cloud.storage import Client
        except ImportError as error:
            raise StorageError(
                f"{uri} needs google-cloud-storage. Received: {error}. Install aisle[serve-gcp]."
            ) from error
        with _told(f"No client for {uri}"):
            bucket = Client().bucket(name)
        store = cls(bucket)
        return store.under(prefix.rstrip("/")) if prefix.rstrip("/") else store

    @property
    def uri(self) -> str:
        return f"{GCS_SCHEME}{self.bucket.name}/{self.prefix}".rstrip("/")

    def under(self, prefix: str) -> Self:
        return replace(self, prefix=f"{self.prefix}{checked(prefix)}/")

    def read(self, name: str) -> Content | None:
        for _ in range(_READS):
            stream = BytesIO()
            blob = self._known(name)
            if blob is None:
                return None
            if self._fetch(blob, stream):
                return Content(stream.getvalue(), int(blob.generation or 0))
        raise StorageError(f"{self._address(name)} was replaced {_READS} times while it was read. Try again.")

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        from google.api_core.exceptions import PreconditionFailed

        blob, failures = self._blob(name), list[Exception]()
        with _told(f"{self._address(name)} cannot be written"):
            try:
                blob.upload_from_string(
                    data,
                    content_type="application/octet-stream",
                    if_generation_match=if_generation,
                    timeout=_timeout(),
                    retry=_retry(on_error=failures.append),
                )
            except PreconditionFailed as error:
                # The first attempt may have arrived and only its answer was lost: then the refusal means us.
                found = self.read(name) if failures else None
                if found is None or found.data != data:
                    raise PreconditionError(
                        f"{self._address(name)} must be at generation {if_generation} to be replaced. Received: another one. "
                        "Somebody else wrote it; read it again."
                    ) from error
                return found.generation
        return int(blob.generation or 0)

    def upload(self, source: Path, name: str) -> None:
        blob = self._blob(name)
        with _told(f"{self._address(name)} cannot be written"):
            # Retried without a precondition: sending the same bytes again does no harm.
            blob.upload_from_filename(
                str(source), content_type="application/octet-stream", timeout=_timeout(), retry=_retry()
            )

    def download(self, name: str, target: Path) -> None:
        for _ in range(_READS):
            blob = self._known(name)
            if blob is None:
                raise StorageError(f"{self._address(name)} must be there. Received: no such object.")
            with target.open("wb") as stream:
                if self._fetch(blob, stream):
                    return
        raise StorageError(f"{self._address(name)} was replaced {_READS} times while it was read. Try again.")

    def holds(self, name: str, source: Path) -> bool:
        blob = self._known(name)
        return blob is not None and blob.size == source.stat().st_size and blob.md5_hash == _md5(source)

    def list(self, prefix: str = "") -> list[StoredObject]:
        with _told(f"{self.uri} cannot be listed"):
            found = self.bucket.client.list_blobs(
                self.bucket, prefix=f"{self.prefix}{prefix}", timeout=_timeout(), retry=_retry()
            )
            listed = [
                StoredObject(blob.name.removeprefix(self.prefix), int(blob.size), int(blob.generation))
                for blob in found
            ]
        # Google's console marks empty folders by objects whose names end with a slash.
        return sorted(each for each in listed if each.name and not each.name.endswith("/"))

    def delete(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with _told(f"{self._address(name)} cannot be deleted"):
            try:
                self._blob(name).delete(timeout=_timeout(), retry=_retry())
            except NotFound:
                return

    def _blob(self, name: str) -> Blob:
        return self.bucket.blob(f"{self.prefix}{checked(name)}", chunk_size=CHUNK_BYTES)

    def _address(self, name: str) -> str:
        return f"{self.uri}/{name}"

    def _known(self, name: str) -> Blob | None:
        """The object with its generation, size and hash; None when there is none."""
        from google.api_core.exceptions import NotFound

        blob = self._blob(name)
        with _told(f"{self._address(name)} cannot be read"):
            try:
                blob.reload(timeout=_timeout(), retry=_retry())
            except NotFound:
                return None
        return blob

    def _fetch(self, blob: Blob, stream: IO[bytes]) -> bool:
        """Write this very generation to the stream; False when it was replaced meanwhile.

        Raises:
            StorageError: the bytes that came are not those the bucket says it holds.
        """
        from google.api_core.exceptions import NotFound

        digest = hashlib.md5(usedforsecurity=False)
        address = f"{GCS_SCHEME}{self.bucket.name}/{blob.name}"
        with _told(f"{address} cannot be read"):
            try:
                if blob.size:
                    blob.download_to_file(
                        _Hashing(stream, digest), checksum=None, timeout=_timeout(), retry=_retry(), raw_download=True
                    )
            except NotFound:
                return False
        received = b64encode(digest.digest()).decode()
        if blob.md5_hash is not None and blob.md5_hash != received:
            raise StorageError(f"{address} must have md5 {blob.md5_hash}. Received: {received}. Try again.")
        return True


@dataclass(frozen=True)
class _Hashing:
    """A stream that hashes what passes: Google's client checks no hash of what comes in chunks."""

    stream: IO[bytes]
    digest: Any

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.stream.write(data)


def _timeout() -> tuple[float, float]:
    return CONNECT_SECONDS, SILENCE_SECONDS


def _retry(on_error: Any = None) -> Retry:
    from google.api_core.retry import Retry
    from google.cloud.storage.retry import DEFAULT_RETRY

    # Which errors pass by themselves is Google's knowledge, and reached by no public name.
    return Retry(
        predicate=DEFAULT_RETRY._predicate, initial=0.5, maximum=8.0, timeout=GIVE_UP_SECONDS, on_error=on_error
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return b64encode(digest.digest()).decode()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever Google's client, its sign-in or the network raise, as ours."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests import RequestException

    try:
        yield
    except GoogleAuthError as error:
        raise StorageError(
            f"{what}: {error} Set GOOGLE_APPLICATION_CREDENTIALS, or run where a service account is attached."
        ) from error
    except (GoogleAPIError, DataCorruption, InvalidResponse, RequestException, OSError) as error:
        raise StorageError(f"{what}: {error}") from error
