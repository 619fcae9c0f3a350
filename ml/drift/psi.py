"""Population stability index on bins frozen with the reference, so that a number can be recomputed at any later time."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import DataError

NUM_BINS = 10
TOP_CATEGORIES = 20
EPSILON = 1e-4

Counts = NDArray[np.int64]


def psi(reference_counts: Counts, current_counts: Counts, eps: float = EPSILON) -> float:
    """How far two binned distributions are apart: sum over bins of (c - r) · ln(c / r), c and r being shares.

    It is the Kullback-Leibler divergence taken both ways and added (Jeffreys 1946): 0 for equal shares, the same whichever side is
    called the reference. By custom below 0.1 is stable, 0.1 to 0.2 moderate, above 0.2 significant. Without any drift its
    expectation is about (bins - 1) · (1 / rows of one side + 1 / rows of the other), so small windows read high.

    Args:
        reference_counts: Rows per bin `[bins]`.
        current_counts: Rows per bin `[bins]`.
        eps: Least share of a bin. A floor for all bins alike, so that one rare bin never changes what another one says.

    >>> round(psi(np.array([50, 50]), np.array([90, 10])), 4)  # (.4) ln(.9 / .5) + (-.4) ln(.1 / .5)
    0.8789
    >>> psi(np.array([1, 2]), np.array([100, 200]))
    0.0

    Raises:
        DataError: a side has no rows, or the sides have different bins.
    """
    if reference_counts.shape != current_counts.shape:
        raise DataError(
            f"Both sides need the same bins. Received: {len(reference_counts)} and {len(current_counts)}. "
            "Count the current rows with the reference's own bins."
        )
    if not reference_counts.sum() or not current_counts.sum():
        raise DataError(
            "Drift needs at least one row on each side. "
            f"Received: {reference_counts.sum()} reference and {current_counts.sum()} current rows. Choose another window."
        )
    reference = np.maximum(reference_counts / reference_counts.sum(), eps)
    current = np.maximum(current_counts / current_counts.sum(), eps)
    return float(np.sum((current - reference) * np.log(current / reference)))


class NumberBins(BaseModel):
    """Deciles of a reference: everything up to the first edge, between two edges, above the last, and missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["number"] = "number"
    edges: tuple[float, ...] = Field(description="Inner edges, ascending; a value on an edge belongs below it.")
    counts: tuple[int, ...] = Field(description="Reference rows per bin, missing last.")

    @classmethod
    def fit(cls, values: pd.Series, *, num_bins: int = NUM_BINS) -> Self:
        numbers = values.to_numpy(np.float64)
        known = numbers[np.isfinite(numbers)]
        # "higher" takes a value of the data, so that ties stay together on one side of an edge.
        edges = np.unique(np.quantile(known, np.linspace(0, 1, num_bins + 1)[1:-1], method="higher"))
        unfitted = cls(edges=tuple(edges.tolist()), counts=())
        return cls(edges=unfitted.edges, counts=tuple(unfitted.count(values).tolist()))

    def count(self, values: pd.Series) -> Counts:
        """Rows per bin `[len(edges) + 2]`."""
        numbers = values.to_numpy(np.float64)
        known = np.isfinite(numbers)
        bins = np.searchsorted(self.edges, numbers, side="left")
        return np.bincount(np.where(known, bins, len(self.edges) + 1), minlength=len(self.edges) + 2)


class CategoryBins(BaseModel):
    """The most frequent values of a reference, each on its own, then all others, then missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["category"] = "category"
    categories: tuple[str, ...] = Field(description="Most frequent first.")
    counts: tuple[int, ...] = Field(description="Reference rows per category, other, missing.")

    @classmethod
    def fit(cls, values: pd.Series, *, top: int = TOP_CATEGORIES) -> Self:
        frequencies = _labels(values).value_counts()
        # Ties by name: the same reference always gives the same bins.
        ranked = sorted(frequencies.items(), key=lambda pair: (-pair[1], str(pair[0])))
        unfitted = cls(categories=tuple(str(name) for name, _ in ranked[:top]), counts=())
        return cls(categories=unfitted.categories, counts=tuple(unfitted.count(values).tolist()))

    def count(self, values: pd.Series) -> Counts:
        """Rows per bin `[len(categories) + 2]`."""
        other, missing = len(self.categories), len(self.categories) + 1
        bins = pd.Index(self.categories).get_indexer(pd.Index(_labels(values)))
        bins = np.where(bins < 0, other, bins)
        return np.bincount(np.where(values.isna(), missing, bins), minlength=missing + 1)


ReferenceBins = Annotated[NumberBins | CategoryBins, Field(discriminator="kind")]


def fit_bins(values: pd.Series, *, num_bins: int = NUM_BINS) -> NumberBins | CategoryBins:
    """Deciles of numbers; of numbers with few distinct values, and of anything else, one bin per value.

    Deciles of a constant would put every smaller value into the constant's own bin and never see it move.
    """
    if not len(values):
        raise DataError("A drift reference needs at least one row. Received: none. Choose a longer training window.")
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > num_bins:
        return NumberBins.fit(values, num_bins=num_bins)
    return CategoryBins.fit(values)


class DriftReference(BaseModel):
    """What the model's own data looked like: bins and counts of every watched feature. Travels in the bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_start: datetime = Field(description="First instant of the reference window, UTC.")
    window_end: datetime = Field(description="First instant after it.")
    num_rows: int = Field(ge=1, description="Events in the window.")
    features: dict[str, ReferenceBins]

    @classmethod
    def fit(cls, frame: pd.DataFrame, *, window_start: datetime, window_end: datetime) -> Self:
        """Of one row per event and one column per watched feature."""
        return cls(
            window_start=window_start,
            window_end=window_end,
            num_rows=len(frame),
            features={str(name): fit_bins(frame[name]) for name in frame.columns},
        )

    def drift_of(self, frame: pd.DataFrame) -> dict[str, float]:
        """PSI of each watched feature, in the reference's order.

        Raises:
            DataError: the frame has no rows or lacks a watched feature.
        """
        if absent := [name for name in self.features if name not in frame]:
            raise DataError(
                f"The window lacks watched features. Expected: {', '.join(self.features)}. Missing: {', '.join(absent)}. "
                "Build both windows with `window_frame`, or release a new champion."
            )
        return {name: psi(np.array(bins.counts), bins.count(frame[name])) for name, bins in self.features.items()}

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1))

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.model_validate_json(path.read_text())


def _labels(values: pd.Series) -> pd.Series:
    """Values as text, one spelling per value whatever the column's type: 5 and 5.0 are the same number."""
    known = values.dropna()
    if pd.api.types.is_numeric_dtype(known):
        known = known.astype(float)
    return known.astype(str).reindex(values.index) if len(known) < len(values) else known.astype(str)
