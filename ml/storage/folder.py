"""A folder as an object store: what one machine, or machines with a common disk, need."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from ml.contract.errors import PreconditionError, StorageError
from ml.contract.files import locked, sync
from ml.contract.manifest import file_entry
from ml.storage.objects import ABSENT, Content, StoredObject, checked


@dataclass(frozen=True)
class FolderStore:
    """An object is a file; its generation is the file's time of change in nanoseconds, which always grows."""

    root: Path
    lock_in: Path | None = None
    """Folder of the lock that writers share; the root when None. A folder stored below must hold its own files and no lock."""

    @property
    def uri(self) -> str:
        return str(self.root)

    def under(self, prefix: str) -> Self:
        return type(self)(self.root / checked(prefix), self.lock_in or self.root)

    def read(self, name: str) -> Content | None:
        path = self._path(name)
        with _told(name, self.root):
            try:
                # One descriptor for both: the file may be replaced between two looks at its name.
                with path.open("rb") as file:
                    return Content(file.read(), os.fstat(file.fileno()).st_mtime_ns)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        path = self._path(name)
        with _told(name, self.root), locked(self.lock_in or self.root):
            found = _generation(path)
            if if_generation is not None and if_generation != found:
                raise PreconditionError(
                    f"{name} in {self.root} must be at generation {if_generation} to be replaced. Received: {found}. "
                    "Somebody else wrote it; read it again."
                )
            with _draft(path) as draft:
                draft.write_bytes(data)
            return _generation(path)

    def upload(self, source: Path, name: str) -> None:
        with _told(name, self.root), _draft(self._path(name)) as draft:
            shutil.copyfile(source, draft)

    def download(self, name: str, target: Path) -> None:
        with _told(name, self.root):
            shutil.copyfile(self._path(name), target)

    def holds(self, name: str, source: Path) -> bool:
        path = self._path(name)
        with _told(name, self.root):
            return path.is_file() and file_entry(path) == file_entry(source)

    def list(self, prefix: str = "") -> list[StoredObject]:
        with _told(prefix or "All", self.root):
            names = sorted(path.relative_to(self.root).as_posix() for path in _visible_files(self.root))
            return [self._listed(name) for name in names if name.startswith(prefix)]

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _told(name, self.root):
            path.unlink(missing_ok=True)
        # A bucket has no folders, so empty ones are not left here either.
        for folder in path.relative_to(self.root).parents:
            with suppress(OSError):
                (self.root / folder).rmdir()

    def _path(self, name: str) -> Path:
        return self.root / checked(name)

    def _listed(self, name: str) -> StoredObject:
        status = (self.root / name).stat()
        return StoredObject(name, status.st_size, status.st_mtime_ns)


def _visible_files(root: Path) -> Iterator[Path]:
    for path in root.iterdir() if root.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible_files(path)
        else:
            yield path


def _generation(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield draft
        # The file system's own clock ticks too slowly: two writes within one tick would be one generation.
        newer = max(time.time_ns(), _generation(path) + 1)
        os.utime(draft, ns=(newer, newer))
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _told(name: str, root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name} in {root} cannot be read or written: {error}.") from error
