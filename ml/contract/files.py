"""Files and folders that are whole or not there, also after a power cut."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

LOCK = ".lock"
DEVELOPMENT_API_KEY = "development_api_key"
"""File of a home: the key a service in development makes for whoever can read its home."""


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
    descriptor = _lock_of(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """Where one may make a folder that nobody else writes to; it is gone afterwards. What processes left that were killed goes first.

    Args:
        parent: of such folders and nothing else.
    """
    with locked(parent):
        for left in parent.iterdir():
            if left.is_dir() and not _is_held(left):
                shutil.rmtree(left)
        mine = Path(mkdtemp(dir=parent))
        held = _lock_of(mine)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield mine / parent.name
    finally:
        shutil.rmtree(mine)
        os.close(held)


def _is_held(folder: Path) -> bool:
    descriptor = _lock_of(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_of(folder: Path) -> int:
    # A file and not the folder itself: network file systems lock nothing that is not open for writing.
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)


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
