"""Files and folders that are whole or not there, also after a power cut."""

import os
from pathlib import Path

DEVELOPMENT_API_KEY = "development_api_key"
"""File of a home: the key a service in development makes for whoever can read its home."""


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step: a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    sync(draft)
    draft.replace(path)
    sync(path.parent)


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
