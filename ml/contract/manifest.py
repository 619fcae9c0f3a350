"""What a release bundle says of itself. Its version is derived from everything it says, so no byte of it can change unseen."""

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.contract.errors import BundleError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int = Field(ge=0, description="Bytes.")


class BundleFacts(BaseModel):
    """Where a bundle comes from and what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cut_at: datetime = Field(description="Nothing later than this is in the bundle.")
    data_start_at: datetime
    created_at: datetime
    code_version: str
    dagster_run_id: str | None = None
    recipe: str | None = Field(default=None, description="Name of the recipe the models were trained by.")
    models_of: str | None = Field(
        default=None, description="Version whose models these are, when only the tables were made anew."
    )
    num_items: int = Field(ge=1)
    num_users: int = Field(ge=0)
    dimension: int = Field(ge=1)
    index_kind: str
    index_recall: float = Field(ge=0, le=1, description="recall@k of the index against exact search, as measured.")


class FileList(BaseModel):
    """What a folder holds. Read from a bundle's manifest, it is the part that every kind of folder has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    files: dict[str, FileEntry] = Field(description="By path inside the folder, with forward slashes.")

    @classmethod
    def found_in(cls, folder: Path) -> Self:
        """The files of a folder as they are now, but for the list itself."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
        return cls(files={path.relative_to(folder).as_posix(): file_entry(path) for path in paths})

    def differing(self, folder: Path) -> list[str]:
        """Names that are missing from a folder, altered in it or not listed; sorted."""
        found = self.found_in(folder).files
        return sorted(name for name in found.keys() | self.files if found.get(name) != self.files.get(name))


class Manifest(BaseModel):
    """The facts, and the hash of every file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    version: str
    facts: BundleFacts
    files: dict[str, FileEntry] = Field(description="By path inside the bundle, with forward slashes.")

    @classmethod
    def of(cls, facts: BundleFacts, files: dict[str, FileEntry]) -> Self:
        return cls(version=_version(facts, files), facts=facts, files=files)

    def write(self, folder: Path) -> None:
        (folder / MANIFEST).write_text(self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a bundle folder.

        Raises:
            BundleError: there is none, it cannot be read, it is of another format, or it was altered.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise BundleError(f"Expected a release bundle with a {MANIFEST}. Received: {folder}, which has none.")
        return cls.parse(path.read_bytes(), bundle=folder.name)

    @classmethod
    def parse(cls, content: bytes, *, bundle: str) -> Self:
        """The manifest in these bytes, wherever they were read.

        Raises:
            BundleError: they cannot be read, are of another format, or were altered.
        """
        try:
            manifest = cls.model_validate_json(content)
        except (ValidationError, UnicodeDecodeError) as error:
            raise BundleError(f"{MANIFEST} of bundle {bundle} cannot be read ({error}). {REMEDY}") from error
        if manifest.format_version != FORMAT_VERSION:
            raise BundleError(
                f"{MANIFEST} of bundle {bundle} must have format {FORMAT_VERSION}. "
                f"Received: {manifest.format_version}. {REMEDY}"
            )
        if manifest.version != _version(manifest.facts, manifest.files):
            raise BundleError(f"{MANIFEST} of bundle {bundle} was altered after it was written. {REMEDY}")
        return manifest


REMEDY = "Re-materialise `candidate_bundle`, or pin AISLE_BUNDLE to an older version."


_BLOCK = 1 << 18
"""Bytes, which stay in the core's own cache until they are hashed."""


def file_entry(path: Path, *, rest: Callable[[], None] = lambda: None) -> FileEntry:
    """What a manifest says of a file.

    Args:
        rest: called between any two blocks of a quarter of a megabyte.
    """
    block, digest = memoryview(bytearray(_BLOCK)), sha256()
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(block[:size])
            rest()
    return FileEntry(sha256=digest.hexdigest(), size=path.stat().st_size)


def _version(facts: BundleFacts, files: dict[str, FileEntry]) -> str:
    # A bundle of before there was a recipe's name keeps its version.
    described = facts.model_dump(mode="json", exclude={"recipe"} if facts.recipe is None else None)
    said = {"facts": described, "files": {name: files[name].model_dump() for name in sorted(files)}}
    return f"{facts.cut_at:%Y-%m-%d}-{sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]}"
