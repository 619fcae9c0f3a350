"""The part of a training snapshot that drift is measured against. It travels in the bundle: the champion brings its own past."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ml.contract.errors import DataError
from ml.drift.features import whole_weeks, window_frame
from ml.drift.psi import DriftReference
from ml.drift.report import draw_sample

REFERENCE = "drift_reference.json"
SAMPLE = "drift_sample.parquet"
WEEKS = 4
"""Of reference: the newest ones, for the season, and enough of them that one odd week does not become the norm."""


@dataclass(frozen=True)
class DriftSnapshot:
    """Frozen bins and counts, and some rows to draw."""

    reference: DriftReference
    sample: pd.DataFrame

    @classmethod
    def of(cls, interactions: pa.Table, items: pa.Table, *, data_start_at: datetime, cut_at: datetime) -> Self:
        """Of the newest whole weeks before the cut.

        Args:
            interactions: Columns of `FCT_INTERACTIONS`; rows outside those weeks are left out.
            items: Columns of `DIM_ITEMS`.
            data_start_at: First instant of the data.
            cut_at: First instant the model knows nothing of.
        """
        start = whole_weeks(data_start_at, cut_at, at_most=WEEKS)
        frame = window_frame(between(interactions, start, cut_at), items, ends_at=cut_at)
        reference = DriftReference.fit(frame, window_start=start, window_end=cut_at)
        return cls(reference, draw_sample(frame).reset_index(drop=True))

    def save(self, folder: Path) -> None:
        """Two files in a folder that may hold others: the bundle's."""
        self.reference.save(folder / REFERENCE)
        self.sample.to_parquet(folder / SAMPLE, index=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a bundle.

        Raises:
            DataError: the bundle brings no reference.
        """
        if not (folder / REFERENCE).is_file():
            raise DataError(
                f"Drift is measured against the champion's own data. Expected: {REFERENCE} in bundle {folder.name}. "
                "Received: none. Release a new bundle."
            )
        return cls(DriftReference.load(folder / REFERENCE), pd.read_parquet(folder / SAMPLE))


def between(interactions: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """The events of [start, end)."""
    occurred_at = interactions["occurred_at"]
    kind = occurred_at.type
    not_before = pa.compute.greater_equal(occurred_at, pa.scalar(start, kind))
    return interactions.filter(pa.compute.and_(not_before, pa.compute.less(occurred_at, pa.scalar(end, kind))))
