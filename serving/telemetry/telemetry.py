"""Metrics, and traces where somebody collects them."""

from typing import TYPE_CHECKING, Self

from ml.runtime.answer import RankedList
from serving.telemetry.metrics import Metrics
from serving.telemetry.stopwatch import Stopwatch

if TYPE_CHECKING:
    from serving.telemetry.traces import Traces


class Telemetry:
    """Of one app."""

    def __init__(self, traces: "Traces | None" = None) -> None:
        self.metrics = Metrics()
        self.traces = traces

    @classmethod
    def to(cls, otel_endpoint: str | None) -> Self:
        """With traces when there is somewhere to send them.

        Raises:
            PlatformError: there is, and OpenTelemetry is not installed.
        """
        if otel_endpoint is None:
            return cls()
        from serving.telemetry.traces import Traces

        return cls(Traces.to(otel_endpoint))

    async def listed(self, answer: RankedList, watch: Stopwatch) -> None:
        """One list. Called after it has gone out: nobody waits for a counter."""
        self.metrics.listed(answer, watch)
        if self.traces is not None:
            self.traces.stages(answer, watch)

    def stop(self) -> None:
        """Send what waits."""
        if self.traces is not None:
            self.traces.stop()
