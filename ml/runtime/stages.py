"""The stages of one answer. Whoever times them is told when each is over: the request path itself has no clock."""

from collections.abc import Callable
from typing import Literal

Stage = Literal["filters", "query", "candidates", "features", "ranking", "placement", "answer"]
"""In this order. A list about items has no `query` and no `features`, an unranked one no `features`, one of popular items
alone no `candidates` either."""
Over = Callable[[Stage], None]
"""Is called when a stage is over; the next one begins then."""


def untimed(_over: Stage) -> None:
    """Nobody times."""
