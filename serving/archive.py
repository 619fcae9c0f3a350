"""Bundles of earlier releases, opened when somebody asks about an answer they gave."""

from collections import Counter
from pathlib import Path
from threading import Lock

from ml.contract.errors import BundleError
from ml.contract.manifest import MANIFEST, Manifest
from ml.runtime.bundle import Bundle, open_bundle


class Archive:
    """Keeps the one it opened last: questions come about the release before the live one, and a bundle takes memory."""

    def __init__(self, releases: Path) -> None:
        self._releases = releases
        self._lock = Lock()
        self._opened: Bundle | None = None
        self.lookups = Counter({"live": 0, "kept": 0, "opened": 0, "gone": 0})
        """What was asked for since this process began, by where it was found."""

    def bundle(self, version: str, *, live: Bundle) -> Bundle | None:
        """The bundle of a version; None when its release is no longer kept.

        Raises:
            BundleError: it is kept but damaged.
        """
        if version == live.version:
            self.lookups["live"] += 1
            return live
        with self._lock:
            if self._opened is not None and self._opened.version == version:
                self.lookups["kept"] += 1
                return self._opened
            # Let go before the next is opened: two at once would be one too many.
            self._opened = None
            self._opened = self._open(version)
            self.lookups["opened" if self._opened else "gone"] += 1
            return self._opened

    def versions(self) -> list[str]:
        """Of every release that is kept here, damaged ones included."""
        return sorted(self._folders())

    def manifest(self, version: str) -> Manifest:
        """What a kept release says of itself.

        Raises:
            BundleError: nothing that can be believed.
        """
        folder = self._folders().get(version)
        if folder is None:
            raise BundleError(f"Expected release {version} to be kept. Received: none of that version.")
        return Manifest.read(folder)

    def _open(self, version: str) -> Bundle | None:
        """None also for a release that is removed while it is opened: its manifest goes first."""
        folder = self._folders().get(version)
        if folder is None:
            return None
        try:
            return open_bundle(folder)
        except (BundleError, OSError, ValueError):
            if version in self._folders():
                raise
            return None

    def _folders(self) -> dict[str, Path]:
        """By version. A version that was asked for is looked up in here and never becomes a path."""
        found = self._releases.iterdir() if self._releases.is_dir() else ()
        return {one.name: one for one in found if not one.name.startswith(".") and (one / MANIFEST).is_file()}
