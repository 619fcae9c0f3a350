"""OpenTelemetry spans: one for each request, and one for each stage of its list. Needs the extra `otel`."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Self

from starlette.types import Scope

from ml.contract.errors import PlatformError
from ml.runtime.answer import RankedList
from serving.telemetry.stopwatch import Stopwatch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span


class Traces:
    """Follows the caller's `traceparent`, so a list is a part of the page that asked for it."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("aisle.serving")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, endpoint: str) -> Self:
        """Sends spans in batches, by OTLP over HTTP. Sampling and headers are OpenTelemetry's own variables.

        Raises:
            PlatformError: OpenTelemetry is not installed.
        """
        try:
            sdk, export = import_module("opentelemetry.sdk.trace"), import_module("opentelemetry.sdk.trace.export")
            otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ImportError as error:
            raise PlatformError(
                f"AISLE_OTEL_ENDPOINT needs OpenTelemetry. Received: {error}. Install the extra `otel`, or leave the variable out."
            ) from error
        resources = import_module("opentelemetry.sdk.resources")
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what is said here.
        named = resources.Resource({"service.name": "aisle"}).merge(resources.OTELResourceDetector().detect())
        provider = sdk.TracerProvider(resource=named)
        exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(export.BatchSpanProcessor(exporter))
        return cls(provider)

    @contextmanager
    def request(self, scope: Scope) -> "Iterator[Span]":
        """The span of a request; spans made inside are its children. Ends when what follows the answer is done."""
        from opentelemetry.trace import SpanKind

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = self._propagator.extract(carrier)
        attributes = {"http.request.method": scope["method"], "aisle.request_id": scope["state"]["request_id"]}
        # An exception's text may quote the request: the log has it, under the same id.
        with self._tracer.start_as_current_span(
            scope["method"], parent, SpanKind.SERVER, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    def answered(self, span: "Span", *, method: str, route: str, status: int) -> None:
        """Path and query stay out: both hold ids."""
        from opentelemetry.trace import StatusCode

        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": int(status)})
        if status >= 500:
            span.set_status(StatusCode.ERROR)

    def stages(self, answer: RankedList, watch: Stopwatch) -> None:
        """Children of the current span, made after the fact: timing them costs a request nothing more."""
        from opentelemetry.trace import get_current_span

        since_clock = time_ns() - perf_counter_ns()
        for stage, begin, end in watch.spans:
            span = self._tracer.start_span(stage, start_time=since_clock + begin)
            span.end(since_clock + end)
        get_current_span().set_attributes(
            {
                "aisle.surface": answer.made_from.request.surface,
                "aisle.bundle_version": answer.bundle_version,
                "aisle.personalised": answer.personalised,
                "aisle.degraded": answer.degraded,
                "aisle.num_items": len(answer.items),
            }
        )

    def stop(self) -> None:
        self._provider.shutdown()
