"""Files and folders that are whole or not there, also after a power cut."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEVELOPMENT_API_KEY = "development_api_key"
"""File of a home: the key a service in development makes for whoever can read its home."""
LOCK = ".lock"


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step: a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    sync(draft)
    draft.replace(path)
    sync(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder to oneself among all who ask for it this way; waits for others. A process that dies lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    # A file and not the folder itself: network file systems lock nothing that is not open for writing.
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Put every byte, then every name of a folder on the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
