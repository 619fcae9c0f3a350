"""What a store of objects can do, whatever it is made of."""

from pathlib import Path
from typing import NamedTuple, Protocol, Self

from ml.contract.errors import StorageError

GCS_SCHEME = "gs://"
ABSENT = 0
"""Generation of an object that is not there: `if_generation=ABSENT` creates and never replaces."""


class Content(NamedTuple):
    """An object's bytes and the generation they were read at."""

    data: bytes
    generation: int


class StoredObject(NamedTuple):
    """An object as a list shows it."""

    name: str
    size: int
    """Bytes."""
    generation: int
    """Another number after every write."""


class ObjectStore(Protocol):
    """Objects by name under one root. An object is written whole: readers see the old one or the new.

    Every method raises `StorageError` when the store cannot be reached or refuses, after a bounded time.
    """

    @property
    def uri(self) -> str: ...

    def under(self, prefix: str) -> Self:
        """The same store with its root one level deeper."""
        ...

    def read(self, name: str) -> Content | None:
        """None when there is no such object."""
        ...

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        """Replace an object; its new generation.

        Args:
            if_generation: only if the object is at this generation, `ABSENT` for not there. None always writes.

        Raises:
            PreconditionError: it is at another one.
        """
        ...

    def upload(self, source: Path, name: str) -> None:
        """Write an object from a file, piece by piece: a piece that broke off is sent again, not the file."""
        ...

    def download(self, name: str, target: Path) -> None:
        """Write an object's bytes to a file."""
        ...

    def holds(self, name: str, source: Path) -> bool:
        """Whether the object is there with the bytes of this file, by their hash."""
        ...

    def list(self, prefix: str = "") -> list[StoredObject]:
        """Objects whose names begin with `prefix`, sorted by name."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is as good as removed."""
        ...


def store_at(uri: str | Path) -> ObjectStore:
    """The store at a folder's path or at gs://<bucket>/<prefix>.

    Raises:
        StorageError: it is neither, or Google's client finds no credentials.
    """
    text = str(uri)
    if text.startswith(GCS_SCHEME):
        from ml.storage.gcs import GcsStore

        return GcsStore.at(text)
    if "://" in text:
        raise StorageError(f"A store must be a folder or gs://<bucket>/<prefix>. Received: {text}.")
    from ml.storage.folder import FolderStore

    return FolderStore(Path(text))


def is_remote(uri: str) -> bool:
    return uri.startswith(GCS_SCHEME)


def checked(name: str) -> str:
    """The name, once it is known to stay inside its root and to be visible there.

    Raises:
        StorageError: a part is empty or begins with a dot. Names come out of downloaded manifests too.
    """
    if not name or any(not part or part.startswith(".") or "\\" in part for part in name.split("/")):
        raise StorageError(
            f"An object's name must be parts joined by /, none of them empty or hidden. Received: {name!r}."
        )
    return name
