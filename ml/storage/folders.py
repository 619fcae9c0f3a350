"""Folders as sets of objects: whole or not there, never sent twice, never taken unseen."""

import shutil
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from ml.contract.errors import PreconditionError, StorageError
from ml.contract.files import locked, sync, sync_tree
from ml.contract.manifest import MANIFEST, FileList, file_entry
from ml.storage.objects import ABSENT, ObjectStore, checked


def upload_folder(folder: Path, store: ObjectStore) -> FileList:
    """Put a folder at the store's root: the files first, the list of them last, so that what has its list is whole.

    A bundle brings its list along, its manifest; any other folder gets one. Files that are there already are not sent again, so
    an upload that was killed goes on. What is there whole is never changed.

    Raises:
        StorageError: the root holds another folder, or the folder's own manifest does not fit its files.
    """
    listing = _listing_of(folder)
    content = _content_of(listing, folder)
    if _is_there(content, store):
        return listing
    present = {each.name: each.size for each in store.list()}
    for name, entry in listing.files.items():
        if present.get(name) != entry.size or not store.holds(name, folder / name):
            store.upload(folder / name, name)
    _finish(content, store)
    return listing


def download_folder(store: ObjectStore, into: Path, *, manifest_sha256: str | None = None) -> FileList:
    """Bring the folder at the store's root to `into`, which appears whole, by one rename, once every file's hash was right.

    Files already here and right are kept, so a download that was killed goes on and a damaged copy is mended.

    Args:
        manifest_sha256: hash the list of files must have; of any when None.

    Raises:
        StorageError: the root holds no whole folder, or not the one that its list, or the hash, says.
    """
    with locked(into.parent):
        listing, content = _fetched_listing(store, manifest_sha256)
        if into.is_dir() and _is_whole(into, listing, content):
            return listing
        draft = into.with_name(f".{into.name}.partial")
        if into.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
            into.rename(draft)
        draft.mkdir(parents=True, exist_ok=True)
        _complete(draft, listing, store)
        (draft / MANIFEST).write_bytes(content)
        sync_tree(draft)
        draft.rename(into)
        sync(into.parent)
    return listing


def delete_folder(store: ObjectStore) -> None:
    """Remove everything under the store's root: the list first, so that nobody takes the rest for whole."""
    store.delete(MANIFEST)
    for each in store.list():
        store.delete(each.name)


def manifest_of(store: ObjectStore) -> bytes:
    """The list of files at the store's root, as it was written.

    Raises:
        StorageError: there is none.
    """
    found = store.read(MANIFEST)
    if found is None:
        raise StorageError(
            f"{store.uri} must hold a {MANIFEST}. Received: none, so it was never uploaded whole, or is being removed."
        )
    return found.data


def _listing_of(folder: Path) -> FileList:
    found = FileList.found_in(folder)
    for name in found.files:
        checked(name)
    if not (folder / MANIFEST).is_file():
        return found
    said = _parsed((folder / MANIFEST).read_bytes(), str(folder))
    if said.files != found.files:
        raise StorageError(
            f"{MANIFEST} in {folder} must list the folder's files and their sha256, to be stored with them. "
            f"Received: another list, it differs in {', '.join(said.differing(folder))}. Make the folder anew."
        )
    return said


def _content_of(listing: FileList, folder: Path) -> bytes:
    path = folder / MANIFEST
    return path.read_bytes() if path.is_file() else listing.model_dump_json(indent=1).encode()


def _is_there(content: bytes, store: ObjectStore) -> bool:
    found = store.read(MANIFEST)
    if found is None:
        return False
    if found.data != content:
        raise StorageError(
            f"{store.uri} must be empty or hold this very folder. Received: another one. Give this one another name."
        )
    return True


def _finish(content: bytes, store: ObjectStore) -> None:
    try:
        store.write(MANIFEST, content, if_generation=ABSENT)
    except PreconditionError:
        # Somebody put the same folder there meanwhile, which is as good; another one is refused.
        _is_there(content, store)


def _fetched_listing(store: ObjectStore, expected: str | None) -> tuple[FileList, bytes]:
    content = manifest_of(store)
    found = sha256(content).hexdigest()
    if expected not in (None, found):
        raise StorageError(
            f"{MANIFEST} in {store.uri} must have sha256 {expected}. Received: {found}. Publish it anew."
        )
    listing = _parsed(content, store.uri)
    for name in listing.files:
        checked(name)
    return listing, content


def _parsed(content: bytes, where: str) -> FileList:
    try:
        return FileList.model_validate_json(content)
    except ValidationError as error:
        raise StorageError(f"{MANIFEST} in {where} is no list of files ({error}). Make the folder anew.") from error


def _is_whole(folder: Path, listing: FileList, content: bytes) -> bool:
    path = folder / MANIFEST
    return path.is_file() and path.read_bytes() == content and not listing.differing(folder)


def _complete(draft: Path, listing: FileList, store: ObjectStore) -> None:
    (draft / MANIFEST).unlink(missing_ok=True)
    for name in listing.differing(draft):
        target = draft / name
        if name not in listing.files:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        store.download(name, target)
        if (found := file_entry(target)) != listing.files[name]:
            target.unlink()
            raise StorageError(
                f"{name} in {store.uri} must have sha256 {listing.files[name].sha256}. Received: {found.sha256}, "
                f"{found.size} bytes. It is not what was uploaded: publish it anew."
            )
