"""What a request to a server tells of the trace that it belongs to: nothing, unless the server's file says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import get_current_span

_TRACEPARENT = "traceparent"
_MAY = create_key("remit-passes-the-trace-on")


class _OnlyWhereSaid(TextMapPropagator):
    """Names trace and span (W3C Trace Context) where it may; never what callers attach to a trace."""

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        span = get_current_span(context).get_span_context()
        if span.is_valid and get_value(_MAY, context):
            named = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
            setter.set(carrier, _TRACEPARENT, named)

    def extract(
        self,
        carrier: CarrierT,  # noqa: ARG002 - nothing of it is wanted
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,  # noqa: ARG002
    ) -> Context:
        return context or Context()

    @property
    def fields(self) -> set[str]:
        return {_TRACEPARENT}


# The protocol's client puts into each request whatever the program's propagator gives: by default callers' words too.
set_global_textmap(_OnlyWhereSaid())


@contextmanager
def passing_on(may: bool) -> Iterator[None]:
    """Let requests that are made within the block say which trace they belong to, or not."""
    token = attach(set_value(_MAY, may))
    try:
        yield
    finally:
        detach(token)
