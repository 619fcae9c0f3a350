from pathlib import Path

import pytest

from ml.storage import ObjectStore, store_at


@pytest.fixture(params=["folder", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """The same promises on both sides."""
    if request.param == "folder":
        return store_at(tmp_path / "store")
    return store_at(request.getfixturevalue("bucket_uri"))
