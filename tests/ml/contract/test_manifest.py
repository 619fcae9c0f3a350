from datetime import UTC, datetime

import pytest

from ml.contract.errors import BundleError
from ml.contract.manifest import BundleFacts, FileEntry, Manifest

FACTS = BundleFacts(
    cut_at=datetime(2026, 3, 1, tzinfo=UTC),
    data_start_at=datetime(2025, 12, 1, tzinfo=UTC),
    created_at=datetime(2026, 3, 1, 4, tzinfo=UTC),
    code_version="0.1.0",
    num_items=10,
    num_users=5,
    dimension=4,
    index_kind="exact",
    index_recall=1.0,
)
FILES = {"a": FileEntry(sha256="0" * 64, size=1)}


def test_a_version_names_the_day_of_the_data_and_changes_with_anything_it_says():
    other = FACTS.model_copy(update={"index_recall": 0.97})
    assert Manifest.of(FACTS, FILES).version.startswith("2026-03-01-")
    assert Manifest.of(FACTS, FILES).version == Manifest.of(FACTS, FILES).version != Manifest.of(other, FILES).version


def test_an_altered_manifest_is_refused(tmp_path):
    Manifest.of(FACTS, FILES).write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"num_items": 10', '"num_items": 11'))
    with pytest.raises(BundleError, match=r"manifest\.json .* was altered"):
        Manifest.read(tmp_path)


def test_another_format_is_refused(tmp_path):
    Manifest.of(FACTS, FILES).model_copy(update={"format_version": 99}).write(tmp_path)
    with pytest.raises(BundleError, match=r"must have format 1\. Received: 99"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_broken_manifest_is_refused_by_name(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Manifest.read(tmp_path)
