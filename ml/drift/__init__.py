"""Whether today's events still look like those the live model learned from. Measures and draws; never retrains."""

from ml.drift.features import WATCHED, WEEK, window_frame
from ml.drift.psi import DriftReference, psi
from ml.drift.report import SIGNIFICANT, DriftReport, drift_report, write_html
from ml.drift.snapshot import DriftSnapshot

__all__ = [
    "SIGNIFICANT",
    "WATCHED",
    "WEEK",
    "DriftReference",
    "DriftReport",
    "DriftSnapshot",
    "drift_report",
    "psi",
    "window_frame",
    "write_html",
]
