"""One span and one time for each MCP request, by the semantic conventions of OpenTelemetry for MCP and tool calls.

Of what a caller sends only what is known here is told: no argument, no result, no name of a tool that does not exist.
A caller says in `_meta.traceparent` (SEP-414) or in the header of that name (W3C Trace Context) which trace its request
belongs to. Its `tracestate` and `baggage` are not looked at: they are the caller's words, for whoever collects traces.
"""

from collections.abc import Container, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import mcp.types as wire
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.shared.exceptions import MCPError
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.spans import Attribute, Recording
from gateway.visible_text import visible

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_METHODS = frozenset(
    {"initialize", "ping", "server/discover", "tools/list", "tools/call", "subscriptions/listen", "logging/setLevel"}
    | {"notifications/initialized", "notifications/cancelled", "notifications/progress"}
    | {"prompts/list", "prompts/get", "resources/list", "resources/read", "resources/templates/list"}
)
_OTHER = "_OTHER"
_LONGEST_ID = 100
_TRACEPARENT = "traceparent"
_W3C = TraceContextTextMapPropagator()

_Request = ServerRequestContext[Any, Any]


def trace_of(request: _Request) -> str:
    """The trace that a request belongs to, as 32 hexadecimal digits; empty if nobody names one.

    It is the caller's unless the gateway records one: recorded, never believed.
    """
    own = get_current_span().get_span_context()
    found = own if own.is_valid else get_current_span(_named_by_caller(request)).get_span_context()
    return format_trace_id(found.trace_id) if found.is_valid else ""


def _named_by_caller(request: _Request) -> Context:
    """The caller's span; an empty context if it names none, or nothing that is one."""
    given = (request.meta or {}).get(_TRACEPARENT)
    if given is None and request.request is not None:
        given = request.request.headers.get(_TRACEPARENT)
    return _W3C.extract({_TRACEPARENT: given}, Context()) if isinstance(given, str) else Context()


def observed(recording: Recording, tools: Container[str]) -> ServerMiddleware[Any]:
    """Make what tells of each request.

    Args:
        recording: Where to.
        tools: The names of tools that exist.
    """

    async def observe(ctx: _Request, call_next: CallNext) -> HandlerResult:
        told = _attributes(ctx, tools)
        request_id = {"jsonrpc.request.id": visible(str(ctx.request_id)[:_LONGEST_ID])}
        start, error = perf_counter(), ""
        with recording.tracer.start_as_current_span(
            " ".join(str(told[part]) for part in ("mcp.method.name", "gen_ai.tool.name") if part in told),
            _named_by_caller(ctx),
            SpanKind.SERVER,
            told if ctx.request_id is None else {**told, **request_id},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                result = await call_next(ctx)
                error = _tell_result(span, result)
                return result
            except MCPError as refused:
                error = str(refused.error.code)
                told = {**told, "rpc.response.status_code": error}
                raise
            except BaseException as broken:
                error = type(broken).__qualname__
                raise
            finally:
                if error:
                    told = {**told, "error.type": error}
                    span.set_attributes(told)
                    span.set_status(StatusCode.ERROR)
                recording.durations.record(perf_counter() - start, told)

    return observe


def _attributes(request: _Request, tools: Container[str]) -> dict[str, Attribute]:
    method = request.method if request.method in _METHODS else _OTHER
    told: dict[str, Attribute] = {"mcp.method.name": method, "mcp.protocol.version": request.protocol_version}
    told["network.transport"] = "pipe" if request.request is None else "tcp"
    if method == "tools/call":
        name = (request.params or {}).get("name")
        told["gen_ai.operation.name"] = "execute_tool"
        told["gen_ai.tool.name"] = name if isinstance(name, str) and name in tools else _OTHER
    return told


def _tell_result(span: "Span", result: HandlerResult) -> str:
    """Tell what became of a call; give the kind of its error."""
    if isinstance(result, wire.CallToolResult):
        data: Any = result.structured_content
    else:
        data = result.get("structuredContent") if isinstance(result, Mapping) else None
    if not isinstance(data, Mapping) or "status" not in data:
        return ""
    span.set_attributes({"remit.call.id": str(data.get("call_id", "")), "remit.status": str(data["status"])})
    return "tool_error" if data["status"] == "failed" else ""
