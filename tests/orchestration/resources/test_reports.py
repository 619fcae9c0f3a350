from pathlib import Path

import dagster as dg
import pytest

from ml.storage import store_at
from orchestration.resources.reports import ReportFolder


def written(reports: ReportFolder) -> Path:
    page = reports.page("offline_report", "run-1")
    page.write_text("<html></html>")
    return page


def test_a_page_of_this_machine_is_shown_by_its_path(tmp_path: Path) -> None:
    reports = ReportFolder(path=str(tmp_path))
    page = written(reports)
    assert reports.shown(page) == dg.MetadataValue.path(str(page))


def test_a_page_for_all_is_uploaded_and_shown_by_its_address(tmp_path: Path, bucket_uri: str) -> None:
    reports = ReportFolder(path=str(tmp_path), remote=f"{bucket_uri}/reports")
    shown = reports.shown(written(reports))
    address = bucket_uri.removeprefix("gs://")
    assert shown == dg.MetadataValue.url(
        f"https://storage.cloud.google.com/{address}/reports/offline_report/run-1.html"
    )
    assert store_at(bucket_uri).read("reports/offline_report/run-1.html").data == b"<html></html>"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_shared_folder_is_shown_by_its_path(tmp_path: Path, slash: str) -> None:
    reports = ReportFolder(path=str(tmp_path / "home"), remote=f"{tmp_path}/shared{slash}")
    assert reports.shown(written(reports)) == dg.MetadataValue.path(f"{tmp_path}/shared/offline_report/run-1.html")
    assert (tmp_path / "shared" / "offline_report" / "run-1.html").read_text() == "<html></html>"
