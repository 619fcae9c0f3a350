"""What every test may ask for."""

from pathlib import Path

import pytest

from ml.bundle.write import BundleFolder
from ml.runtime.bundle import Bundle, open_bundle
from tests import world


@pytest.fixture(scope="session")
def written_bundle(tmp_path_factory: pytest.TempPathFactory) -> BundleFolder:
    """The small world's bundle on disk. Do not write into it: copy it."""
    return world.bundle_folder(tmp_path_factory.mktemp("written_bundle"))


@pytest.fixture(scope="session")
def bundle(written_bundle: BundleFolder) -> Bundle:
    return open_bundle(written_bundle.path)


@pytest.fixture
def repository() -> Path:
    return Path(__file__).parents[1]
