"""Spans of what a request passes through, for whoever collects them (OpenTelemetry); nothing while nobody does."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gateway.inquiries.inquiry import ClientAsked

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Tracer

Attribute: TypeAlias = str | int | float | bool

_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True)
class Recording:
    """What spans and times are given to.

    Args:
        tracer: Makes the spans.
        durations: `mcp.server.operation.duration`.
    """

    tracer: "Tracer"
    durations: "Histogram"


@dataclass(frozen=True)
class Telemetry:
    """What a gateway tells of its requests.

    Args:
        recording: Where to; None tells nothing.
    """

    recording: Recording | None = None

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """A part of the present request, until the block ends; an error is told by its kind alone."""
        return _NOTHING if self.recording is None else _part(self.recording.tracer, name, attributes)


@contextmanager
def _part(tracer: "Tracer", name: str, attributes: dict[str, Attribute]) -> Iterator[None]:
    from opentelemetry.trace import StatusCode

    # What an error says of itself may hold data.
    with tracer.start_as_current_span(
        name,
        attributes={f"remit.{key}": value for key, value in attributes.items()},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except ClientAsked:
            raise  # It goes on once its client has answered.
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise
