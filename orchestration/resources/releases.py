"""Where releases lie and how they are registered, as one resource."""

from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ml.contract.manifest import MANIFEST
from ml.contract.release import POINTER, ReleasePointer
from ml.runtime.bundle import Bundle, open_bundle
from ml.storage import Mirror, ObjectStore, store_at
from orchestration.settings import PlatformSettings, utc_now

if TYPE_CHECKING:
    from ml.release import Registry
    from ml.release.publish import Release


class ReleaseStore(dg.ConfigurableResource[None]):
    """The releases this process publishes and the registry of all that was trained."""

    home: str
    remote: str | None = Field(
        default=None,
        description="Store of the releases that all machines follow, gs://<bucket>/releases; else the home.",
    )
    tracking_uri: str | None = Field(default=None, description="MLflow's; SQLite in the home when null.")
    mlflow_artifacts: str | None = Field(
        default=None, description="Where MLflow keeps files, gs://<bucket>/mlflow; else the home."
    )

    @classmethod
    def of(cls, settings: PlatformSettings) -> "ReleaseStore":
        return cls(
            home=str(settings.home),
            remote=settings.in_bucket("releases"),
            tracking_uri=settings.mlflow_tracking_uri,
            mlflow_artifacts=settings.in_bucket("mlflow"),
        )

    @property
    def folder(self) -> Path:
        """This machine's releases: all there are, or its copies of some."""
        return Path(self.home) / "releases"

    @property
    def candidates(self) -> Path:
        """Bundles that were packed; the judged ones that won are copied from here."""
        return Path(self.home) / "candidates"

    def live_bundle(self) -> Path | None:
        """Folder of the champion, brought to this machine if need be; None before the first release."""
        pointer = Mirror(remote, self.folder).pull() if (remote := self._remote) else self._pointer_here()
        return pointer.bundle_in(self.folder) if pointer else None

    def bundle(self, version: str) -> Bundle | None:
        """One release, live or not, opened; None when it is no longer kept.

        Raises:
            BundleError: it is kept but damaged.
        """
        folder = self.folder / version
        if not folder.is_dir() and (remote := self._remote):
            if remote.read(f"{version}/{MANIFEST}") is None:
                return None
            folder = Mirror(remote, self.folder).fetch(version)
        return open_bundle(folder) if folder.is_dir() else None

    def publish(self, bundle: Path, *, replacing: str | EllipsisType | None = ...) -> ReleasePointer:
        """Make a bundle the live one, for every machine; old releases go. Fails when something else than `replacing` is live by now."""
        from ml.release import prune, publish

        pointer = publish(bundle, releases=self.folder, now=utc_now(), remote=self._remote, replacing=replacing)
        prune(self.folder)
        if remote := self._remote:
            prune(remote)
        return pointer

    def rollback(self, to: str | None = None) -> ReleasePointer:
        """Make an older release the live one, for every machine."""
        from ml.release import rollback

        return rollback(self.folder, now=utc_now(), to=to, remote=self._remote)

    def published(self) -> "list[Release]":
        """All releases, newest data first."""
        from ml.release import published

        return published(self._remote or self.folder)

    def registry(self) -> "Registry":
        """MLflow's; it is imported with the first question asked."""
        from ml.release import Registry

        return Registry.under(Path(self.home), tracking_uri=self.tracking_uri, artifact_root=self.mlflow_artifacts)

    @property
    def _remote(self) -> ObjectStore | None:
        return store_at(self.remote) if self.remote else None

    def _pointer_here(self) -> ReleasePointer | None:
        return ReleasePointer.read(self.folder) if (self.folder / POINTER).exists() else None
