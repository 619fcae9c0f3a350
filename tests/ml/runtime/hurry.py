"""A clock that says what it is told, for lists that are short of time."""

from itertools import chain, repeat

from ml.runtime.deadline import Deadline


def hurried(*spent: float) -> Deadline:
    """A deadline of which these shares are spent each time the clock is read; the last one stays."""
    readings = chain(spent, repeat(spent[-1]))
    return Deadline(1.0, clock=lambda: next(readings), began_at=0.0)
