"""Where spans and times go: a collector that speaks OTLP, by the standard `OTEL_…` variables."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread

from gateway.settings import BadSettings
from gateway.telemetry.spans import Recording, Telemetry

_LAST_WORDS_SECONDS = 3.0
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""As the conventions have it."""


@contextmanager
def telemetry_to_collector(wanted: bool) -> Iterator[Telemetry]:
    """Tell of requests until the block ends; what is told last is given a few seconds to arrive.

    Args:
        wanted: Whether anything is told.

    Raises:
        BadSettings: If the packages for it are not installed.
    """
    if not wanted:
        yield Telemetry()
        return
    recording, close = _open()
    try:
        yield Telemetry(recording)
    finally:
        # A collector that is away keeps nobody from ending.
        closing = Thread(target=close, daemon=True)
        closing.start()
        closing.join(_LAST_WORDS_SECONDS)


def _open() -> tuple[Recording, Callable[[], None]]:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise BadSettings("`telemetry` needs more packages: install `remit[telemetry]`, or turn it off") from None

    own = {"service.name": "remit", "service.version": version("remit")}
    # Each process counts for itself.
    own["service.instance.id"] = f"{socket.gethostname()}-{os.getpid()}"
    resource = Resource(own).merge(OTELResourceDetector().detect())
    # Not made the program's own: what other packages say of requests would go along, outsiders' words included.
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    times = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    durations = times.get_meter("remit").create_histogram(
        "mcp.server.operation.duration", "s", "How long a request took.", explicit_bucket_boundaries_advisory=_SECONDS
    )

    def close() -> None:
        traces.force_flush(int(_LAST_WORDS_SECONDS * 1_000))
        traces.shutdown()
        times.shutdown(_LAST_WORDS_SECONDS * 1_000)

    return Recording(traces.get_tracer("remit", version("remit")), durations), close
