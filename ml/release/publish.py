"""Put a bundle where the service looks, whole; and go back to an older one."""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ml.contract.errors import ReleaseError
from ml.contract.files import sync, sync_tree
from ml.contract.manifest import MANIFEST, Manifest
from ml.contract.release import POINTER, ReleasePointer, manifest_sha256
from ml.runtime.bundle import verified

KEPT = 5
"""Releases that stay on disk, the live one and the one before it among them."""


@dataclass(frozen=True)
class Release:
    """One published bundle."""

    version: str
    cut_at: datetime
    """Nothing later than this is in it."""
    is_live: bool


def publish(bundle: Path, *, releases: Path, now: datetime) -> ReleasePointer:
    """Copy a bundle into `releases/<version>/`, verify the copy, then make it the live one in one step.

    A version already published is only made live again.

    Raises:
        BundleError: the copy is not what the manifest says. What was live stays live.
    """
    version = Manifest.read(bundle).version
    target = releases / version
    if not target.exists():
        _copy_whole(bundle, target)
    return _make_live(version, releases=releases, now=now)


def rollback(releases: Path, *, now: datetime, to: str | None = None) -> ReleasePointer:
    """Make an older release the live one again: `to`, or the one that was live before.

    Raises:
        ReleaseError: there is no such release. What was live stays live.
        BundleError: that release is damaged. What was live stays live.
    """
    version = to or ReleasePointer.read(releases).previous
    known = [release.version for release in published(releases)]
    if version not in known:
        raise ReleaseError(
            f"A rollback needs a version that is still here. Expected one of: {', '.join(known) or 'none'}. "
            f"Received: {version or 'none, and nothing was live before'}. Name one: `aisle rollback --to <version>`."
        )
    return _make_live(version, releases=releases, now=now)


def published(releases: Path) -> list[Release]:
    """All releases on disk, newest data first."""
    live = _live_version(releases)
    manifests = [Manifest.read(path.parent) for path in releases.glob(f"[!.]*/{MANIFEST}")]
    found = [Release(each.version, each.facts.cut_at, each.version == live) for each in manifests]
    return sorted(found, key=lambda release: (release.cut_at, release.version), reverse=True)


def prune(releases: Path, *, keep: int = KEPT) -> list[str]:
    """Delete the oldest releases beyond `keep`, never the live one nor the one before it. The versions that went."""
    pointer = ReleasePointer.read(releases)
    needed = {pointer.version, pointer.previous}
    old = [release.version for release in published(releases)[keep:] if release.version not in needed]
    for version in old:
        shutil.rmtree(releases / version)
    return old


def _copy_whole(bundle: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(bundle, draft)
        verified(draft)
        sync_tree(draft)
        draft.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _make_live(version: str, *, releases: Path, now: datetime) -> ReleasePointer:
    verified(releases / version)
    live = _live_version(releases)
    pointer = ReleasePointer(
        version=version,
        folder=version,
        manifest_sha256=manifest_sha256(releases / version),
        released_at=now,
        previous=live if live != version else ReleasePointer.read(releases).previous,
    )
    pointer.write(releases)
    return pointer


def _live_version(releases: Path) -> str | None:
    return ReleasePointer.read(releases).version if (releases / POINTER).is_file() else None
