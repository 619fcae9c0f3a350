"""Which bundle is live: one small file that is replaced whole. The service reads it; it needs no registry."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.contract.errors import ReleaseError
from ml.contract.files import write_atomically
from ml.contract.manifest import MANIFEST

POINTER = "current.json"


class ReleasePointer(BaseModel):
    """The live release of a `releases/` folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1)
    folder: str = Field(
        pattern=r"^[\w-][\w.-]*$", description="Name of the bundle's folder beside the pointer; never a path."
    )
    manifest_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="Of the bundle's manifest, which names all else."
    )
    released_at: datetime
    previous: str | None = Field(default=None, description="Version that was live before; what a rollback returns to.")

    @classmethod
    def read(cls, releases: Path) -> Self:
        """The pointer of a `releases/` folder.

        Raises:
            ReleaseError: nothing was released there, or the pointer cannot be read.
        """
        path = releases / POINTER
        if not path.is_file():
            raise nothing_released(str(releases))
        return cls.parse(path.read_bytes(), where=str(path))

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Self:
        """The pointer in these bytes.

        Raises:
            ReleaseError: they are none.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise ReleaseError(
                f"{where} is not a release pointer ({error}). Run `aisle rollback` to write it anew."
            ) from error

    def as_text(self) -> str:
        return self.model_dump_json(indent=1) + "\n"

    def write(self, releases: Path) -> None:
        """Make this release the live one. Readers see the old pointer or this one, never a part."""
        write_atomically(releases / POINTER, self.as_text())

    def bundle_in(self, releases: Path) -> Path:
        """Folder of the live bundle.

        Raises:
            ReleaseError: its manifest is missing or is not the one that was released.
        """
        bundle = releases / self.folder
        found = manifest_sha256(bundle)
        if found != self.manifest_sha256:
            raise ReleaseError(
                f"Release {self.version} must have a manifest with sha256 {self.manifest_sha256}. Received: {found}. "
                "Run `aisle rollback` to return to an older release."
            )
        return bundle


def nothing_released(releases: str) -> ReleaseError:
    return ReleaseError(
        f"Nothing is released yet. Expected: {releases}/{POINTER}. Run `make demo`, or `aisle run` on your own data."
    )


def manifest_sha256(bundle: Path) -> str:
    """Hash of a bundle's manifest, "absent" when there is none."""
    path = bundle / MANIFEST
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
