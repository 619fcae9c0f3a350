"""The demo asks the real service, with the key the service made for this home."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError

import pytest

from ml.bundle.write import BundleFolder
from ml.release.publish import publish
from orchestration.settings import PlatformSettings
from orchestration.showcase import Service, running_service


@pytest.mark.e2e
def test_the_demo_asks_with_the_homes_key_and_leaves_no_trace_in_its_log(
    tmp_path: Path, written_bundle: BundleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AISLE_HOME", str(tmp_path))
    monkeypatch.setenv("AISLE_ENVIRONMENT", "production")  # what is real here is not touched by what is only shown
    settings = PlatformSettings()
    publish(written_bundle.path, releases=settings.home / "releases", now=datetime(2026, 3, 3, tzinfo=UTC))
    with running_service(settings) as service:
        answer = service.ask("/api/v1/recommendations/homepage?limit=3")
        assert len(answer["recommendations"]) == 3
        with pytest.raises(HTTPError, match="401"):
            Service(service.address, tmp_path / "no such file").ask("/api/v1/model")
    assert not (tmp_path / "feedback.db").exists()
