"""Writes a bundle folder: everything into a hidden sibling first, the manifest last, then one rename."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml.contract.errors import ContractError
from ml.contract.manifest import MANIFEST, BundleFacts, Manifest, file_entry
from ml.runtime.bundle import Bundle, Names

POPULAR_LISTED = 200


@dataclass(frozen=True)
class BundleFolder:
    """A bundle on disk."""

    path: Path
    version: str


def write_bundle(bundle: Bundle, towers_folder: Path, parent: Path, *, facts: BundleFacts) -> BundleFolder:
    """Write `bundle` as `parent/<version>`; a bundle already there with that version is the same, byte for byte.

    Args:
        towers_folder: what `export_retriever` wrote: ONNX graphs, vocabularies, SavedModel.
    """
    if bundle.ranker is None:
        raise ContractError("A bundle to be released needs a ranker. Received: none. Train one with `ml.ranking`.")
    parent.mkdir(parents=True, exist_ok=True)
    draft = parent / f".draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(towers_folder, draft)
        _write_parts(bundle, draft)
        manifest = Manifest.of(facts, {_name(draft, path): file_entry(path) for path in _files(draft)})
        manifest.write(draft)
        final = parent / manifest.version
        if final.exists():
            return BundleFolder(final, manifest.version)
        _flush(draft)
        draft.rename(final)
        _sync(parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return BundleFolder(final, manifest.version)


def _write_parts(bundle: Bundle, folder: Path) -> None:
    assert bundle.ranker is not None
    with pa.OSFile(str(folder / Names.ITEMS), "wb") as sink, pa.ipc.new_file(sink, bundle.items.table.schema) as writer:
        writer.write_table(bundle.items.table)
    bundle.users.save(folder / Names.USERS)
    np.save(folder / Names.VECTORS, bundle.vectors)
    bundle.index.save(folder / Names.INDEX)
    bundle.sources.save(folder / Names.SOURCES)
    bundle.ranker.save(folder / Names.RANKER)
    bundle.settings.save(folder / Names.SETTINGS)
    popular = bundle.sources.popularity.first(POPULAR_LISTED, bundle.items.available)
    (folder / Names.POPULAR).write_text(json.dumps([bundle.items.vocabulary.id(int(row)) for row in popular]))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _flush(folder: Path) -> None:
    """Bytes first, then names: after a power cut the folder is whole or not there."""
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
