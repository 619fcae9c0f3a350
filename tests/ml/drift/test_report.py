from datetime import timedelta
from pathlib import Path

import pytest

from ml.drift.features import WATCHED, window_frame
from ml.drift.psi import DriftReference
from ml.drift.report import drift_report, write_html
from tests.ml.drift.shop_weeks import MONDAY, interactions, items

END = MONDAY + timedelta(days=7)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def test_the_page_shows_the_numbers_of_the_report(tmp_path: Path) -> None:
    sample = window_frame(interactions(days=7), items(), ends_at=END)
    window = window_frame(interactions(days=7, seed=2, price_factor=1.8), items(price_factor=1.8), ends_at=END)
    reference = DriftReference.fit(sample, window_start=MONDAY, window_end=END)
    report = drift_report(reference, window)
    page = tmp_path / "drift" / "report.html"
    # Half of the rows are drawn, all of them are counted.
    write_html(page, report, reference, sample=sample.iloc[::2], window=window.iloc[::2])
    html = page.read_text()
    assert html.count("PSI (bins frozen with the reference). Drift score:") == len(WATCHED)
    assert f"Drift score: {round(report.psi['price'], 3)}" in html
