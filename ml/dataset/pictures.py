"""Pictures of items that lie on this machine: found inside one folder, within bounds, and made of one size."""

import struct
import warnings
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ml.contract.errors import ContractError

Pixels = NDArray[np.uint8]
"""`[SIDE, SIDE, 3]`: red, green and blue from 0 to 255."""

SIDE = 224
"""Pixels of a side: what EfficientNetB0 was trained on."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_BYTES = 16 * 2**20
MAX_PIXELS = 50_000_000
"""Of what is decoded: a file of a few kilobytes may hold a picture that fills the memory."""
BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
"""What Pillow raises of a file that is not as its format says, depending on where it is not."""


class Unusable(StrEnum):
    """Why there is no vector of a picture."""

    MISSING = "missing_picture"
    """There is no such file."""
    OUTSIDE = "picture_outside_folder"
    """The path leads out of the folder of pictures."""
    TOO_LARGE = "picture_too_large"
    """More bytes or pixels than are read."""
    UNREADABLE = "unreadable_picture"
    """Not to be opened, or broken, or of another format."""


@dataclass(frozen=True)
class PictureFolder:
    """Where pictures are. What lies outside is not read, whatever a catalogue says."""

    path: Path
    """Without links in it."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """
        Raises:
            ContractError: it is no folder.
        """
        if not path.is_dir():
            state = "which is a file" if path.exists() else "which is not there"
            raise ContractError(
                f"Pictures lie in a folder, to which the paths in the catalogue are relative. Received: {path}, {state}. Name the folder."
            )
        return cls(path.resolve())

    def content(self, name: str) -> bytes | Unusable:
        """Of a file by its path, relative to the folder or absolute."""
        try:
            found = (self.path / name.strip()).resolve()
            if not found.is_relative_to(self.path):
                return Unusable.OUTSIDE
            if not found.is_file():  # a pipe would be waited for
                return Unusable.MISSING
        except (OSError, ValueError, RuntimeError):  # a name too long or with a null byte, links in a circle
            return Unusable.MISSING
        try:
            with found.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError:
            return Unusable.UNREADABLE
        return content if len(content) <= MAX_BYTES else Unusable.TOO_LARGE


def pixels_of(content: bytes) -> Pixels | Unusable:
    """The picture upright, squeezed into a square, on white where it is transparent; of several frames the first."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities that are read all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return Unusable.TOO_LARGE
                picture.draft("RGB", (2 * SIDE, 2 * SIDE))  # a large JPEG is decoded small
                return _square(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Unusable.TOO_LARGE
    except BROKEN:
        return Unusable.UNREADABLE


def _square(picture: Image.Image) -> Pixels:
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    small = picture.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB"))
