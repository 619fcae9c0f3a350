"""Releases of a store as a folder on this machine: what a service answers from, with the network or without."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ml.contract.errors import ReleaseError
from ml.contract.files import locked
from ml.contract.manifest import MANIFEST
from ml.contract.release import POINTER, ReleasePointer
from ml.storage.folders import download_folder
from ml.storage.objects import ObjectStore

KEPT = 3
"""Releases that stay on this machine."""


@dataclass(frozen=True)
class Mirror:
    """Follows the pointer of `remote`; `local` only ever holds what was verified."""

    remote: ObjectStore
    local: Path

    def pull(self, *, thorough: bool = False) -> ReleasePointer | None:
        """Bring the live release here, and only then make it the live one here; None when nothing was released.

        Args:
            thorough: compare every file's hash although the release is here already, and mend what is wrong.

        Raises:
            StorageError: the store is away, or its bundle is damaged. What was live here stays live.
            ReleaseError: the pointer cannot be read. What was live here stays live.
        """
        content = self.remote.read(POINTER)
        if content is None:
            return None
        pointer = ReleasePointer.parse(content.data, where=f"{self.remote.uri}/{POINTER}")
        if not thorough and pointer == self._here():
            return pointer
        self.fetch(pointer.folder, manifest_sha256=pointer.manifest_sha256)
        pointer.write(self.local)
        self._prune(pointer)
        return pointer

    def fetch(self, version: str, *, manifest_sha256: str | None = None) -> Path:
        """One release's folder here, verified, whether it is live or not."""
        folder = self.local / version
        download_folder(self.remote.under(version), folder, manifest_sha256=manifest_sha256)
        return folder

    def _here(self) -> ReleasePointer | None:
        """What is live here, if its bundle is here too."""
        try:
            pointer = ReleasePointer.read(self.local)
            pointer.bundle_in(self.local)
        except ReleaseError:
            return None
        return pointer

    def _prune(self, pointer: ReleasePointer) -> None:
        """Remove what came here longest ago, never the live release nor the one before it, from which others may still answer."""
        with locked(self.local):
            # Nobody is downloading, so what is partial was given up.
            abandoned = list(self.local.glob(".*.partial"))
            folders = [path.parent for path in self.local.glob(f"[!.]*/{MANIFEST}")]
            newest_first = sorted(folders, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
            old = [each for each in newest_first[KEPT:] if each.name not in (pointer.folder, pointer.previous)]
            for folder in abandoned + old:
                shutil.rmtree(folder, ignore_errors=True)
