"""Writes a bundle folder: everything into a hidden sibling first, the manifest last, then one rename."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.files import sync, sync_tree
from ml.contract.manifest import MANIFEST, BundleFacts, Manifest, file_entry
from ml.features.embeddings import without_embeddings
from ml.runtime.bundle import Bundle, Names
from ml.runtime.golden import Golden
from ml.runtime.items import ItemTable

POPULAR_LISTED = 200


@dataclass(frozen=True)
class BundleFolder:
    """A bundle on disk."""

    path: Path
    version: str

    def save(self, folder: Path) -> None:
        """The bundle itself, so that it can be read on another machine; on the same disk its files are shared, not copied."""
        shutil.copytree(self.path, folder / self.version, copy_function=_share)

    @classmethod
    def load(cls, folder: Path) -> Self:
        [manifest] = folder.glob(f"*/{MANIFEST}")
        return cls(manifest.parent, Manifest.read(manifest.parent).version)

    def summary(self) -> dict[str, str | int | float]:
        """The manifest's facts and the size on disk."""
        manifest = Manifest.read(self.path)
        size = sum(entry.size for entry in manifest.files.values())
        facts = {name: value for name, value in manifest.facts.model_dump(mode="json").items() if value is not None}
        return {"version": self.version, "bundle_mb": round(size / 1e6, 2), "files": len(manifest.files), **facts}


def write_bundle(bundle: Bundle, prepared: Sequence[Path], parent: Path, *, facts: BundleFacts) -> BundleFolder:
    """Write `bundle` as `parent/<version>`; a bundle already there with that version is the same, byte for byte.

    Args:
        prepared: folders whose files go in as they are: what `export_retriever` wrote, the drift reference.
    """
    if bundle.ranker is None:
        raise ContractError("A bundle to be released needs a ranker. Received: none. Train one with `ml.ranking`.")
    parent.mkdir(parents=True, exist_ok=True)
    draft = parent / f".draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for folder in prepared:
            shutil.copytree(folder, draft, dirs_exist_ok=True)
        _write_parts(bundle, draft)
        Golden.of(bundle, now=facts.cut_at).write(draft)
        manifest = Manifest.of(facts, {_name(draft, path): file_entry(path) for path in _files(draft)})
        manifest.write(draft)
        final = parent / manifest.version
        if final.exists():
            return BundleFolder(final, manifest.version)
        sync_tree(draft)
        draft.rename(final)
        sync(parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return BundleFolder(final, manifest.version)


def _write_parts(bundle: Bundle, folder: Path) -> None:
    assert bundle.ranker is not None
    ItemTable(without_embeddings(bundle.items.table)).save(folder / Names.ITEMS)
    bundle.users.save(folder / Names.USERS)
    np.save(folder / Names.VECTORS, bundle.vectors)
    bundle.index.save(folder / Names.INDEX)
    bundle.sources.save(folder / Names.SOURCES)
    bundle.ranker.save(folder / Names.RANKER)
    np.save(folder / Names.RANKER_GOLDEN, bundle.ranker.golden())
    bundle.settings.save(folder / Names.SETTINGS)
    popular = bundle.sources.popularity.first(POPULAR_LISTED, bundle.items.available)
    (folder / Names.POPULAR).write_text(json.dumps([bundle.items.vocabulary.id(int(row)) for row in popular]))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _share(source: str, target: str) -> None:
    """One more name for a file that nobody changes any more, or a copy of it on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
