"""Metrics of predicted numbers and probabilities. None means undefined, never zero."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import ContractError

Numbers = NDArray[np.floating]


class HeadMetrics(BaseModel):
    """One head of a model on one part of the data. A value is None where it is undefined; `undefined` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: str = Field(description="Which output was judged, for example `rating`.")
    split: str = Field(description="Which days it was judged on, for example `validation`.")
    num_rows: int = Field(ge=0)
    rmse: float | None = Field(default=None, description="Root mean squared error, original units.")
    mae: float | None = Field(default=None, description="Mean absolute error, original units.")
    auc: float | None = Field(default=None, description="Chance that a positive scores above a negative.")
    log_loss: float | None = Field(default=None, description="Mean negative log likelihood, nats.")
    undefined: str | None = Field(default=None, description="Why a value is missing.")


def of_numbers(head: str, split: str, predicted: Numbers, actual: Numbers) -> HeadMetrics:
    """RMSE and MAE of a head that predicts an amount."""
    return HeadMetrics(
        head=head,
        split=split,
        num_rows=len(actual),
        rmse=rmse(predicted, actual),
        mae=mae(predicted, actual),
        undefined=None if len(actual) else "no rows",
    )


def of_probabilities(head: str, split: str, probabilities: Numbers, happened: NDArray[np.bool_]) -> HeadMetrics:
    """AUC and log loss of a head that predicts a chance."""
    area = auc(probabilities, happened)
    return HeadMetrics(
        head=head,
        split=split,
        num_rows=len(happened),
        auc=area,
        log_loss=log_loss(probabilities, happened),
        undefined=None if area is not None else "no rows" if not len(happened) else "auc: one class only",
    )


def rmse(predicted: Numbers, actual: Numbers) -> float | None:
    """Square root of the mean squared error; None without rows.

    >>> rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == (4 / 2) ** 0.5
    True
    """
    errors = _errors(predicted, actual)
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else None


def mae(predicted: Numbers, actual: Numbers) -> float | None:
    """Mean absolute error; None without rows.

    >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    errors = _errors(predicted, actual)
    return float(np.mean(np.abs(errors))) if len(errors) else None


def auc(scores: Numbers, happened: NDArray[np.bool_]) -> float | None:
    """Chance that a random positive scores above a random negative, ties counting half; None when one class is absent.

    By ranks (Mann-Whitney): (sum of the positives' ranks - p(p + 1)/2) / (p n), tied scores sharing their mean rank.

    Of the four pairs one is won, one is tied, two are lost:

    >>> auc(np.array([0.3, 0.1, 0.3, 0.2]), np.array([True, True, False, False])) == (1 + 0.5) / 4
    True
    """
    _require_same_length(scores, happened)
    positives = int(happened.sum())
    negatives = len(happened) - positives
    if not positives or not negatives:
        return None
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(ties) - (ties - 1) / 2
    rank_sum = mean_ranks[place][happened].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(probabilities: Numbers, happened: NDArray[np.bool_], *, clip: float = 1e-7) -> float | None:
    """Mean of -log(probability given to what happened), nats; None without rows.

    Probabilities are held `clip` away from 0 and 1, so one confident mistake costs at most -log(clip) = 16.1.

    >>> loss = log_loss(np.array([0.5, 0.25]), np.array([True, False]))
    >>> loss == -float(np.log(0.5) + np.log(0.75)) / 2
    True
    """
    _require_same_length(probabilities, happened)
    if not len(happened):
        return None
    chance = np.clip(probabilities.astype(np.float64), clip, 1 - clip)
    return float(-np.mean(np.log(np.where(happened, chance, 1 - chance))))


def _errors(predicted: Numbers, actual: Numbers) -> NDArray[np.float64]:
    _require_same_length(predicted, actual)
    return predicted.astype(np.float64) - actual.astype(np.float64)


def _require_same_length(left: NDArray[np.generic], right: NDArray[np.generic]) -> None:
    if left.shape != right.shape:
        raise ContractError(f"Predictions and outcomes must have one shape. Received: {left.shape} and {right.shape}.")
