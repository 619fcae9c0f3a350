"""Put a bundle where the service looks, whole; and go back to an older one."""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import Self

from ml.contract.errors import PreconditionError, ReleaseError
from ml.contract.files import sync, sync_tree
from ml.contract.manifest import MANIFEST, Manifest
from ml.contract.release import POINTER, ReleasePointer, manifest_sha256, nothing_released
from ml.runtime.bundle import verified
from ml.storage import Content, Mirror, ObjectStore, upload_folder
from ml.storage.folder import FolderStore
from ml.storage.folders import delete_folder, manifest_of
from ml.storage.objects import ABSENT

KEPT = 5
"""Releases that stay on disk, the live one and the one before it among them."""


@dataclass(frozen=True)
class Release:
    """One published bundle."""

    version: str
    cut_at: datetime
    """Nothing later than this is in it."""
    is_live: bool


def publish(
    bundle: Path,
    *,
    releases: Path,
    now: datetime,
    remote: ObjectStore | None = None,
    replacing: str | EllipsisType | None = ...,
) -> ReleasePointer:
    """Copy a bundle into `releases/<version>/`, verify the copy, then make it the live one in one step.

    A version already published is only made live again.

    Args:
        remote: store of the releases that other machines follow; `releases` is then this machine's copy of it. The bundle goes
            there before anything is live.
        replacing: version the bundle was judged against, None where nothing was live then; left out, whatever is live is replaced.

    Raises:
        BundleError: the copy is not what the manifest says. What was live stays live.
        ReleaseError: something else than `replacing` is live, or somebody else published meanwhile. What they published is live.
        StorageError: the store is away. What was live stays live; publishing again goes on where it broke off.
    """
    version = Manifest.read(bundle).version
    before = _Live.read(remote or FolderStore(releases))
    if replacing is not ... and before.version not in (replacing, version):
        raise _overtaken(version, judged_against=replacing, live=before.version)
    target = releases / version
    if not target.exists():
        _copy_whole(bundle, target)
    verified(target)
    if remote is not None:
        upload_folder(target, remote.under(version))
    return _make_live(version, before, releases=releases, now=now)


def rollback(
    releases: Path, *, now: datetime, to: str | None = None, remote: ObjectStore | None = None
) -> ReleasePointer:
    """Make an older release the live one again: `to`, or the one that was live before.

    Raises:
        ReleaseError: there is no such release, or somebody else published meanwhile. What was live stays live.
        BundleError: that release is damaged. What was live stays live.
        StorageError: the store is away, or that release is damaged there. What was live stays live.
    """
    place = remote or FolderStore(releases)
    before = _Live.read(place)
    version = to or before.required().previous
    known = [release.version for release in published(place)]
    if version not in known:
        raise ReleaseError(
            f"A rollback needs a version that is still here. Expected one of: {', '.join(known) or 'none'}. "
            f"Received: {version or 'none, and nothing was live before'}. Name one: `aisle rollback --to <version>`."
        )
    if remote is not None:
        Mirror(remote, releases).fetch(version)
    verified(releases / version)
    return _make_live(version, before, releases=releases, now=now)


def published(releases: Path | ObjectStore) -> list[Release]:
    """All releases of a folder or store, newest data first."""
    place = FolderStore(releases) if isinstance(releases, Path) else releases
    live = _Live.read(place).version
    names = (each.name.split("/") for each in place.list())
    folders = [parts[0] for parts in names if parts[1:] == [MANIFEST]]
    manifests = [Manifest.parse(manifest_of(place.under(each)), bundle=each) for each in folders]
    found = [Release(each.version, each.facts.cut_at, each.version == live) for each in manifests]
    return sorted(found, key=lambda release: (release.cut_at, release.version), reverse=True)


def prune(releases: Path | ObjectStore, *, keep: int = KEPT) -> list[str]:
    """Delete the oldest releases beyond `keep`, never the live one nor the one before it. The versions that went."""
    place = FolderStore(releases) if isinstance(releases, Path) else releases
    pointer = _Live.read(place).required()
    needed = {pointer.version, pointer.previous}
    old = [release.version for release in published(place)[keep:] if release.version not in needed]
    for version in old:
        delete_folder(place.under(version))
    return old


@dataclass(frozen=True)
class _Live:
    """What a store says is live, and the generation at which it said so."""

    place: ObjectStore
    content: Content | None

    @classmethod
    def read(cls, place: ObjectStore) -> Self:
        return cls(place, place.read(POINTER))

    @property
    def pointer(self) -> ReleasePointer | None:
        """None also when what is written there is no pointer: then nothing is live, and a rollback may write it anew."""
        try:
            return self.required()
        except ReleaseError:
            return None

    @property
    def version(self) -> str | None:
        return self.pointer.version if self.pointer else None

    def required(self) -> ReleasePointer:
        if self.content is None:
            raise nothing_released(self.place.uri)
        return ReleasePointer.parse(self.content.data, where=f"{self.place.uri}/{POINTER}")

    def replace(self, pointer: ReleasePointer) -> None:
        """Write the pointer unless somebody did since this was read."""
        generation = ABSENT if self.content is None else self.content.generation
        try:
            self.place.write(POINTER, pointer.as_text().encode(), if_generation=generation)
        except PreconditionError as error:
            now_live = _Live.read(self.place).version
            raise _overtaken(pointer.version, judged_against=self.version, live=now_live) from error


def _overtaken(version: str, *, judged_against: str | None, live: str | None) -> ReleaseError:
    return ReleaseError(
        f"{version} was to replace {judged_against or 'nothing'}. Received: {live or 'nothing that is live'}, which somebody else "
        "published meanwhile and which stays live. Judge the bundle against it, then publish again."
    )


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


def _make_live(version: str, before: _Live, *, releases: Path, now: datetime) -> ReleasePointer:
    pointer = ReleasePointer(
        version=version,
        folder=version,
        manifest_sha256=manifest_sha256(releases / version),
        released_at=now,
        previous=before.version if before.version != version else before.required().previous,
    )
    before.replace(pointer)
    if before.place != FolderStore(releases):
        pointer.write(releases)
    return pointer
