"""Drift as a page to look at: Evidently's pictures, with our PSI as the number under each of them."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from ml.drift.psi import CategoryBins, DriftReference

SIGNIFICANT = 0.2
MAX_ROWS_DRAWN = 100_000
"""Rows per side in the pictures. The numbers are of all rows."""

_METHOD = "psi_of_frozen_bins"


@dataclass(frozen=True)
class DriftReport:
    """How far each watched feature has moved."""

    psi: MappingProxyType[str, float]
    num_rows: int
    """Events in the live window."""

    @property
    def largest(self) -> float:
        return max(self.psi.values())

    @property
    def drifted(self) -> list[str]:
        """Features beyond the threshold, worst first."""
        ranked = sorted(self.psi.items(), key=lambda pair: -pair[1])
        return [name for name, value in ranked if value > SIGNIFICANT]


def drift_report(reference: DriftReference, window: pd.DataFrame) -> DriftReport:
    """PSI of every watched feature of a live window against the frozen reference, on all rows."""
    return DriftReport(MappingProxyType(reference.drift_of(window)), num_rows=len(window))


def write_html(
    path: Path, report: DriftReport, reference: DriftReference, *, sample: pd.DataFrame, window: pd.DataFrame
) -> None:
    """Draw both windows with Evidently. Each number on the page is the report's own.

    Evidently's built-in PSI uses equal-width bins over both sides and hardly moves on heavy tails (0.010 where deciles say 0.086).

    Args:
        sample: Rows of the reference window, for the pictures.
        window: Rows of the live window.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    _register(report)
    categories = [name for name, bins in reference.features.items() if isinstance(bins, CategoryBins)]
    numbers = [name for name in reference.features if name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    page = Report(
        [ValueDrift(column=name, method=_METHOD, threshold=SIGNIFICANT) for name in reference.features],
        include_tests=True,
    )
    snapshot = page.run(
        Dataset.from_pandas(_drawn(window, numbers, categories), data_definition=definition),
        Dataset.from_pandas(_drawn(sample, numbers, categories), data_definition=definition),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    snapshot.save_html(str(path))


def draw_sample(frame: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """At most `MAX_ROWS_DRAWN` rows, in their order."""
    if len(frame) <= MAX_ROWS_DRAWN:
        return frame
    rows = np.random.default_rng(seed).choice(len(frame), MAX_ROWS_DRAWN, replace=False)
    return frame.iloc[np.sort(rows)]


def _drawn(frame: pd.DataFrame, numbers: list[str], categories: list[str]) -> pd.DataFrame:
    """A sample with the column types Evidently expects; a missing category is drawn as one of its own."""
    drawn = draw_sample(frame)
    labels = drawn[categories].astype(str).mask(drawn[categories].isna(), "missing")
    return pd.concat([drawn[numbers].astype(float), labels], axis=1)


def _register(report: DriftReport) -> None:
    """Teach Evidently our number. A second call replaces the first: its registry is global."""
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def known(reference_data: pd.Series, _current: pd.Series, _kind: Any, threshold: float) -> tuple[float, bool]:
        value = report.psi[str(reference_data.name)]
        return value, value > threshold

    register_stattest(
        StatTest(
            name=_METHOD,
            display_name="PSI (bins frozen with the reference)",
            allowed_feature_types=[ColumnType.Numerical, ColumnType.Categorical],
            default_threshold=SIGNIFICANT,
        ),
        known,
    )
