"""Real data sets that are not part of the repository."""

import os
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The folder of one shared data set; skips the test where it is absent."""
    folder = Path(os.environ.get("AISLE_SHARED_DATA", _BESIDE_THE_REPOSITORY)) / name
    if not folder.is_dir():
        pytest.skip(f"needs the shared data set {name!r}: no folder {folder}; set AISLE_SHARED_DATA to where it is")
    return folder
