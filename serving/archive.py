"""Bundles of earlier releases, opened when somebody asks about an answer they gave."""

from pathlib import Path
from threading import Lock

from ml.runtime.bundle import Bundle, open_bundle


class Archive:
    """Keeps the one it opened last: questions come about the release before the live one, and a bundle takes memory."""

    def __init__(self, releases: Path) -> None:
        self._releases = releases
        self._lock = Lock()
        self._opened: Bundle | None = None

    def bundle(self, version: str, *, live: Bundle) -> Bundle | None:
        """The bundle of a version; None when its release is no longer kept.

        Raises:
            BundleError: it is kept but damaged.
        """
        if version == live.version:
            return live
        with self._lock:
            if self._opened is None or self._opened.version != version:
                folder = self._releases / version
                self._opened = open_bundle(folder) if folder.is_dir() else None
            return self._opened
