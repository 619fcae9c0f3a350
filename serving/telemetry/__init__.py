"""What is counted, timed, logged and traced of requests. It watches; no answer depends on it, and no label or line names a person, an item or a key."""

from serving.telemetry.stopwatch import Stopwatch
from serving.telemetry.telemetry import Telemetry

__all__ = ["Stopwatch", "Telemetry"]
