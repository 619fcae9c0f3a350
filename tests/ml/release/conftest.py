"""Bundles as the release sees them: a manifest and the files it names. What the files mean is not its business."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml.contract.manifest import BundleFacts, Manifest, file_entry

MakeBundle = Callable[[int], Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """A bundle of data until the given day of September."""

    def make(day: int) -> Path:
        folder = tmp_path / f"candidate-{day}"
        (folder / "index").mkdir(parents=True)
        (folder / "ranker.txt").write_text(f"trees of day {day}")
        (folder / "index" / "rows.npy").write_bytes(b"rows")
        facts = BundleFacts(
            cut_at=datetime(2026, 9, day),
            data_start_at=datetime(2026, 6, 1),
            created_at=datetime(2026, 9, day, 4, tzinfo=UTC),
            code_version="0.1.0",
            num_items=3,
            num_users=2,
            dimension=4,
            index_kind="exact",
            index_recall=1.0,
        )
        files = {name: file_entry(folder / name) for name in ("ranker.txt", "index/rows.npy")}
        Manifest.of(facts, files).write(folder)
        return folder

    return make
