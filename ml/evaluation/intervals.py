"""How sure a mean is: percentile bootstrap over users. Seeded, so a report is reproducible to the digit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import ContractError
from ml.contract.types import Rows
from ml.evaluation.ranking_metrics import PerUser

_DRAWS_AT_ONCE = 4_000_000
"""Bounds memory: users drawn in one block of resamples."""


class BootstrapSettings(BaseModel):
    """How intervals are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(default=1000, ge=100, le=100_000, description="Times the users are drawn anew.")
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Share of the resampled means inside the interval."
    )
    seed: int = Field(default=7, ge=0, description="Seed of the draws.")


@dataclass(frozen=True)
class Interval:
    """A mean over users and the range its resampled means fall in; all three None where there is no such mean."""

    mean: float | None
    low: float | None
    high: float | None
    num_users: int


class PairedInterval(NamedTuple):
    """`a` against `b` on the same users."""

    difference: Interval
    """mean(a) - mean(b)."""
    ratio: Interval
    """mean(a) / mean(b); its values are None where mean(b) can be zero."""


def mean_interval(
    values: PerUser, settings: BootstrapSettings | None = None, *, owners: Rows | None = None
) -> Interval:
    """Mean of the judged users (not NaN) and its interval.

    Args:
        owners: whose each value is `[num_values]`, where a user was judged more than once (in several weeks, say): users are
            drawn, with all of their values. Values of one user resemble each other; drawn apart, they would seem surer than they are.

    >>> interval = mean_interval(np.array([0.0, 1.0, np.nan, 1.0, 0.0]))
    >>> interval.mean, interval.num_users, interval.low < 0.5 < interval.high
    (0.5, 4, True)
    """
    return mean_intervals(values[:, None], settings, owners=owners)[0]


def mean_intervals(
    values: NDArray[np.float64], settings: BootstrapSettings | None = None, *, owners: Rows | None = None
) -> list[Interval]:
    """Intervals of many metrics of the same users, all from the same draws: one matrix product a block.

    Args:
        values: `[num_users, num_columns]`, NaN where a user was not judged.
        owners: as in `mean_interval`.
    """
    judged = np.isfinite(values)
    sums, counts = _resampled_sums([np.where(judged, values, 0), judged], settings, owners)
    return _intervals(
        _ratio(np.where(judged, values, 0).sum(axis=0), judged.sum(axis=0)), _ratio(sums, counts), judged, settings
    )


def paired_interval(
    a: PerUser, b: PerUser, settings: BootstrapSettings | None = None, *, owners: Rows | None = None
) -> PairedInterval:
    """Difference and ratio of two systems' means over the users both were judged on, from the same draws.

    Pairing removes what makes some users easy for everybody: these two differ by exactly 0.1 on each user.

    >>> easy_and_hard = np.array([0.1, 0.9, 0.2, 0.8])
    >>> difference = paired_interval(easy_and_hard + 0.1, easy_and_hard).difference
    >>> round(difference.low, 6), round(difference.high, 6)
    (0.1, 0.1)

    Raises:
        ContractError: the two are not of the same users.
    """
    return paired_intervals(a[:, None], b[:, None], settings, owners=owners)[0]


def paired_intervals(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    settings: BootstrapSettings | None = None,
    *,
    owners: Rows | None = None,
) -> list[PairedInterval]:
    """`paired_interval` of many columns of the same users at once `[num_users, num_columns]`.

    Raises:
        ContractError: the two are not of the same users and columns.
    """
    if a.shape != b.shape:
        raise ContractError(f"A pair needs the same users in the same order. Received: {a.shape} and {b.shape}.")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, 0), np.where(both, b, 0)
    sums_a, sums_b, counts = _resampled_sums([a, b, both], settings, owners)
    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    difference = _ratio(total_a - total_b, both.sum(axis=0)), _ratio(sums_a - sums_b, counts)
    # A ratio whose denominator is zero in some draw has no upper bound: say "undefined" instead of a bound of the other draws.
    bounded = ((sums_b > 0) | (counts == 0)).all(axis=0)
    ratio = np.where(bounded, _ratio(total_a, total_b), np.nan), np.where(bounded, _ratio(sums_a, sums_b), np.nan)
    return [
        PairedInterval(*pair)
        for pair in zip(_intervals(*difference, both, settings), _intervals(*ratio, both, settings), strict=True)
    ]


def _resampled_sums(
    columns: list[NDArray[np.float64] | NDArray[np.bool_]], settings: BootstrapSettings | None, owners: Rows | None
) -> list[NDArray[np.float64]]:
    """Sums of each array's columns over each draw of the users, `[resamples, num_columns]` apiece."""
    values = np.concatenate(columns, axis=1).astype(np.float64)
    if owners is not None:
        users, rows = np.unique(owners, return_inverse=True)
        summed = np.zeros((len(users), values.shape[1]))
        np.add.at(summed, rows, values)
        values = summed
    draws = _draws(len(values), settings or BootstrapSettings())
    return np.split(np.concatenate([times_drawn @ values for times_drawn in draws]), len(columns), axis=1)


def _draws(num_users: int, settings: BootstrapSettings) -> Iterator[NDArray[np.float64]]:
    """How often each user was drawn, block by block `[block, num_users]`."""
    rng = np.random.default_rng(settings.seed)
    block = max(1, min(settings.resamples, _DRAWS_AT_ONCE // max(num_users, 1)))
    for start in range(0, settings.resamples, block):
        size = min(block, settings.resamples - start)
        if not num_users:
            yield np.zeros((size, 0))
            continue
        drawn = rng.integers(num_users, size=(size, num_users)) + np.arange(size)[:, None] * num_users
        yield np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users).astype(np.float64)


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.number]) -> NDArray[np.float64]:
    """NaN where the denominator is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator == 0, np.nan, numerator / denominator)


def _intervals(
    means: NDArray[np.float64],
    resampled: NDArray[np.float64],
    judged: NDArray[np.bool_],
    settings: BootstrapSettings | None,
) -> list[Interval]:
    outside = (1 - (settings or BootstrapSettings()).confidence) / 2
    known = np.isfinite(means)
    bounds = np.full((2, len(means)), np.nan)
    # A draw without any judged user of a small slice has no mean; it is left out, not counted as zero.
    bounds[:, known] = np.nanquantile(resampled[:, known], [outside, 1 - outside], axis=0)
    return [
        Interval(float(mean), float(low), float(high), int(num_users))
        if np.isfinite(mean)
        else Interval(None, None, None, int(num_users))
        for mean, low, high, num_users in zip(means, *bounds, judged.sum(axis=0), strict=True)
    ]
