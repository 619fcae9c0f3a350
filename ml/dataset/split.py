"""Where the past ends: one cut in time decides what may be learned from and what is held back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import ContractError, LeakageError
from ml.contract.types import Seconds
from ml.features.history import SECONDS_PER_DAY

WEEK = 7 * SECONDS_PER_DAY
FEWEST_WEEKS = 2
"""The ranker learns on one and says by another when to stop."""


class SplitSettings(BaseModel):
    """How far the windows reach back from the cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_days: int = Field(112, ge=3, le=3650, description="The towers' examples begin this many days before the cut.")
    validation_days: int = Field(7, ge=1, le=365, description="Days before the test window.")
    test_days: int = Field(7, ge=1, le=365, description="Last days before the cut.")
    ranker_weeks: int = Field(
        8, ge=1, le=52, description="Weeks before the test window the ranker learns on; fewer where the log is short."
    )


@dataclass(frozen=True)
class Window:
    """The instants in [start, end), whole seconds UTC."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ContractError(
                f"A window must start before it ends. Received: [{self.start}, {self.end}). "
                "Raise `train_days`, or lower the days held back after it."
            )

    def holds(self, at: Seconds) -> NDArray[np.bool_]:
        """Which of the instants lie inside `[n]`."""
        return (at >= self.start) & (at < self.end)


@dataclass(frozen=True)
class TimeSplit:
    """The windows of one cut. They follow each other without a gap or an overlap: train, validation, test."""

    cut: int
    train: Window
    """What the towers learn on."""
    validation: Window
    test: Window
    ranker_cuts: tuple[int, ...]
    """Starts of the weeks the ranker learns on, oldest first; the last of those weeks ends where test starts."""

    @classmethod
    def at(
        cls, cut: datetime | int, settings: SplitSettings | None = None, *, since: datetime | int | None = None
    ) -> Self:
        """The split whose last held-back instant is just before `cut`.

        Args:
            since: the first event. Of a short log the ranker gets fewer weeks than `ranker_weeks`, so that the base towers have at least
                as many days to learn on; but never fewer than `FEWEST_WEEKS`.

        Raises:
            ContractError: `cut` has no time zone, or `train_days` leaves no days to learn on.
        """
        settings = settings or SplitSettings()
        end = _seconds(cut)
        test_start = end - settings.test_days * SECONDS_PER_DAY
        validation_start = test_start - settings.validation_days * SECONDS_PER_DAY
        weeks = settings.ranker_weeks
        if since is not None:
            weeks = min(weeks, max((test_start - _seconds(since)) // (2 * WEEK), FEWEST_WEEKS))
        return cls(
            cut=end,
            train=Window(end - settings.train_days * SECONDS_PER_DAY, validation_start),
            validation=Window(validation_start, test_start),
            test=Window(test_start, end),
            ranker_cuts=tuple(test_start - week * WEEK for week in range(weeks, 0, -1)),
        )

    @property
    def base(self) -> Window:
        """What the *base* retriever learns on: the part of `train` before the ranker's first week.

        Raises:
            ContractError: the ranker's weeks reach back to the start of `train`.
        """
        return Window(self.train.start, min(self.ranker_cuts[0], self.train.end))


def refuse_lookahead(at: Seconds, *, before: int, what: str) -> None:
    """Pass when every instant lies before `before`.

    Raises:
        LeakageError: one does not.
    """
    late = int(np.count_nonzero(at >= before))
    if late:
        raise LeakageError(
            f"{what} must lie before {before}, the end of its window. Received: {late} at or after it. "
            "Cut the log with `InteractionLog.before(end)` first."
        )


def _seconds(cut: datetime | int) -> int:
    if isinstance(cut, int):
        return cut
    if cut.tzinfo is None:
        raise ContractError(f"A cut needs a time zone. Received: {cut.isoformat()}. Use `tzinfo=UTC`.")
    return int(cut.timestamp())
