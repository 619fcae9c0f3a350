"""Fitted, saved and exactly invertible transforms of numbers."""

from functools import lru_cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import DataError
from ml.contract.types import Floats, Seconds
from ml.features.history import SECONDS_PER_DAY


class ZScore(BaseModel):
    """(log1p?)(x), centred and scaled; a missing value becomes 0, the mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    scale: float = Field(gt=0)
    log: bool = False

    @classmethod
    def fit(cls, values: NDArray[np.floating], *, log: bool = False) -> Self:
        known = values[np.isfinite(values)].astype(np.float64)
        known = np.log1p(np.maximum(known, 0.0)) if log else known
        if not len(known):
            return cls(mean=0.0, scale=1.0, log=log)
        return cls(mean=float(known.mean()), scale=float(known.std()) or 1.0, log=log)

    def apply(self, values: NDArray[np.floating]) -> Floats:
        x = np.log1p(np.maximum(values, 0.0)) if self.log else values
        return np.nan_to_num((x - self.mean) / self.scale, nan=0.0).astype(np.float32)


class TargetTransform(BaseModel):
    """The rating head's target: clip to fitted percentiles, log1p, then z-score, or 0 to 1. `inverse` gives original units back.

    >>> t = TargetTransform.fit(np.array([1.0, 2.0, 4.0, 8.0]), clip=(0, 100))
    >>> np.round(t.inverse(t.apply(np.array([1.0, 3.0, 99.0]))), 6).tolist()
    [1.0, 3.0, 8.0]
    >>> TargetTransform.fit(np.array([1.0, 2.0, 4.0, 8.0]), clip=(0, 100), to="unit").apply(np.array([1.0, 8.0])).tolist()
    [0.0, 1.0]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(description="Fitted lower clip, original units.")
    high: float = Field(description="Fitted upper clip, original units.")
    mean: float
    scale: float = Field(gt=0)
    squashed: bool = Field(False, description="What the head answers is a logit of the normalised target.")
    slope: float = Field(1.0, description="Of the straight line from the head's answer to the normalised target.")
    intercept: float = Field(0.0, description="Of that line.")

    @classmethod
    def fit(
        cls,
        values: NDArray[np.floating],
        *,
        clip: tuple[float, float] = (1.0, 99.0),
        to: Literal["z_score", "unit"] = "z_score",
    ) -> Self:
        """Fit on the known values; percentiles in percent.

        Args:
            to: unit: from 0 to 1, as a logit can say it.

        Raises:
            DataError: no value is known, or one is negative (log1p of money needs non-negative numbers).
        """
        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known) or known.min() < 0:
            raise DataError(
                "The target column needs at least one known value and none below zero. "
                f"Received: {len(known)} known values, the least {known.min() if len(known) else 'absent'}. "
                "Choose another `target_column` or set `model_type: retrieval`."
            )
        low, high = (float(bound) for bound in np.percentile(known, clip))
        if to == "unit":
            least, most = np.log1p([low, high])
            return cls(low=low, high=high, mean=float(least), scale=float(most - least) or 1.0, squashed=True)
        logged = np.log1p(np.clip(known, low, high))
        return cls(low=low, high=high, mean=float(logged.mean()), scale=float(logged.std()) or 1.0)

    def apply(self, values: NDArray[np.floating]) -> Floats:
        return ((np.log1p(np.clip(values, self.low, self.high)) - self.mean) / self.scale).astype(np.float32)

    def inverse(self, normalised: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.expm1(np.asarray(normalised, np.float64) * self.scale + self.mean)

    def normalised(self, answers: NDArray[np.floating]) -> Floats:
        """The normalised target that a head's answers stand for."""
        straight = np.asarray(answers * self.slope + self.intercept, np.float32)
        return (1 / (1 + np.exp(-straight))).astype(np.float32) if self.squashed else straight

    def calibrated(self, answers: NDArray[np.floating], targets: NDArray[np.floating]) -> Self:
        """The same with the line that says most of normalised targets by a head's answers: least squares, never falling.

        A loss of order alone leaves a head's scale and level to chance; this puts it back into the target's units.
        """
        spread = float(np.var(answers, dtype=np.float64)) if len(answers) else 0.0
        together = (
            float(np.mean((answers - answers.mean()) * (targets - targets.mean()), dtype=np.float64)) if spread else 0.0
        )
        slope = max(together / spread, 0.0) if spread else 0.0
        level = float(np.mean(targets, dtype=np.float64)) - slope * float(np.mean(answers, dtype=np.float64))
        return self.model_copy(update={"slope": slope, "intercept": level})


def unit_rows(vectors: Floats) -> Floats:
    """Each row with length 1; zeros stay zeros. `[n, d] -> [n, d]`.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = (vectors / np.where(lengths > 1e-6, lengths, np.inf)).astype(np.float32)
    return scaled


def cyclical_time(at: Seconds) -> Floats:
    """Hour of day and day of week on circles: sin, cos, sin, cos. `[n] -> [n, 4]`."""
    days = at / SECONDS_PER_DAY
    # 1970-01-01 was a Thursday; Monday is day 0.
    angles = np.stack([days % 1.0, ((days + 3) % 7.0) / 7.0], axis=1) * (2 * np.pi)
    return np.stack(
        [np.sin(angles[:, 0]), np.cos(angles[:, 0]), np.sin(angles[:, 1]), np.cos(angles[:, 1])], axis=1
    ).astype(np.float32)


@lru_cache(4)
def cyclical_instant(at: int) -> Floats:
    """The same of one instant, in seconds `[4]`; kept for who asks in the same second, so not to be written to."""
    found: Floats = cyclical_time(np.array([at]))[0]
    found.flags.writeable = False
    return found
