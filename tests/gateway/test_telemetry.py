"""What a collector of OpenTelemetry hears of requests, and what nobody hears."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.gateway import Gateway
from gateway.http import build_http_app
from gateway.server import build_server
from gateway.settings import Settings
from gateway.telemetry.exporting import telemetry_to_collector
from gateway.telemetry.spans import Recording, Telemetry
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_call import ANA, INES, KIM
from tests.gateway.test_http import META
from tests.policies import policy_folder
from tests.upstream.conftest import ANA as ANA_UP
from tests.upstream.conftest import ROLES, RULES, Upstream, fronting, wire_tool

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
SECRET = "hunter2-is-what-a-customer-wrote"
"""Stands in for everything that callers and outsiders say."""


@pytest.fixture
def settings_upstream(tmp_path: Path) -> Settings:
    policies = policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES)
    return Settings(home=tmp_path / "home", policies=policies, policy_poll=0.05)


class Heard:
    """What would go to a collector."""

    def __init__(self) -> None:
        self._spans, self._times = InMemorySpanExporter(), InMemoryMetricReader()
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        durations = MeterProvider([self._times], shutdown_on_exit=False).get_meter("t").create_histogram("took")
        self.telemetry = Telemetry(Recording(traces.get_tracer("t"), durations))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._spans.get_finished_spans()}

    def of(self, name: str) -> list[int]:
        """The ids of the spans of a name."""
        found = [span.context for span in self._spans.get_finished_spans() if span.name == name]
        return [context.span_id for context in found if context]

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(span.to_json() for span in self._spans.get_finished_spans()) + self.times

    @property
    def times(self) -> str:
        data = self._times.get_metrics_data()
        return data.to_json() if data else ""


@pytest.fixture
def database_url() -> str:
    """What is told does not hang on the database."""
    return ""


@pytest.fixture
def heard() -> Heard:
    return Heard()


def telling(gateway: Gateway, heard: Heard) -> Gateway:
    object.__setattr__(gateway, "telemetry", heard.telemetry)
    return gateway


def with_trace(traceparent: object) -> Any:
    return {"traceparent": traceparent, "tracestate": f"a={SECRET}", "baggage": f"a={SECRET}"}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_call_is_one_trace_that_goes_on_with_the_callers(opened: OpenGateway, heard: Heard) -> None:
    async with opened() as gateway, Client(build_server(telling(gateway, heard), ANA)) as client:
        arguments = {"name": SECRET, "email": "kim@customer.example"}
        meta = with_trace(PARENT)
        answer = await client.call_tool("crm_create_contact", arguments, meta=meta)
        told = heard.spans["tools/call crm_create_contact"]
    found = attributes(told)
    assert (
        found.items()
        >= {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "crm_create_contact",
            "network.transport": "pipe",
            "remit.status": "ok",
            "remit.call.id": (answer.structured_content or {})["call_id"],
        }.items()
    )
    assert {"mcp.protocol.version", "jsonrpc.request.id"} < found.keys()
    assert told.parent
    assert f"{told.parent.span_id:016x}" == SPAN
    assert told.context
    parts = [heard.spans[name] for name in ("decide", "journal", "back_end")]
    assert {f"{part.context.trace_id:032x}" for part in parts if part.context} == {TRACE}
    assert {part.parent.span_id for part in parts if part.parent} == {told.context.span_id}
    assert SECRET not in heard.text


async def test_what_went_wrong_is_told_by_its_kind_and_never_in_anybodys_words(
    opened: OpenGateway, heard: Heard
) -> None:
    async with opened() as gateway, Client(build_server(telling(gateway, heard), INES)) as client:
        await client.call_tool("crm_get_contact", {"contact_id": SECRET})
        with pytest.raises(MCPError):
            await client.call_tool(f"drop_{SECRET}", {})
    failed, unknown = heard.spans["tools/call crm_get_contact"], heard.spans["tools/call _OTHER"]
    assert attributes(failed)["error.type"] == "tool_error"
    assert attributes(unknown).items() >= {"error.type": "-32602", "rpc.response.status_code": "-32602"}.items()
    assert not failed.status.is_ok
    assert SECRET not in heard.text


async def test_the_time_of_each_request_is_counted_without_a_label_that_callers_fill(
    opened: OpenGateway, heard: Heard
) -> None:
    async with opened() as gateway, Client(build_server(telling(gateway, heard), ANA)) as client:
        await client.list_tools()
        await client.call_tool("crm_create_contact", dict(KIM))
    points = [
        point["attributes"]
        for resource in json.loads(heard.times)["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
        for point in metric["data"]["data_points"]
    ]
    assert {each["mcp.method.name"] for each in points} >= {"tools/list", "tools/call"}
    assert not any("request.id" in name or "remit" in name for each in points for name in each)


async def test_a_malformed_trace_is_ignored(opened: OpenGateway, heard: Heard, entries: Any) -> None:
    malformed = [
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        7,
        ["x"],
        {"a": 1},
        None,
        PARENT + "-",
    ]
    for telemetry in (False, True):
        async with opened() as gateway:
            server = build_server(telling(gateway, heard) if telemetry else gateway, ANA)
            async with Client(server) as client:
                for given in malformed:
                    answer = await client.call_tool("crm_search_contacts", {}, meta=with_trace(given))
                    assert (answer.structured_content or {})["status"] == "ok"
        traces = {entry.body.get("trace") for entry in entries()}
        assert TRACE not in traces
        assert (traces == {None}) is not telemetry, "the gateway's own, if it records one"


async def test_without_telemetry_the_journal_still_tells_which_trace_a_caller_named(
    opened: OpenGateway, entries: Any, tmp_path: Path
) -> None:
    async with opened() as gateway:
        async with Client(build_server(gateway, ANA)) as client:
            await client.call_tool("crm_create_contact", dict(KIM), meta=with_trace(PARENT))
        app = build_http_app(
            gateway, build_server(gateway, ANA), Settings(home=tmp_path / "home"), "127.0.0.1", 8900, None
        )
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8900") as http,
        ):
            params = {"name": "crm_create_contact", "arguments": KIM, "_meta": META}
            headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
            headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "crm_create_contact", "traceparent": PARENT}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            assert (await http.post("/mcp", json=body, headers=headers)).status_code == 200
    assert [entry.body["trace"] for entry in entries()] == [TRACE] * 4


@pytest.mark.parametrize("passes", [False, True])
async def test_an_upstream_server_hears_of_the_trace_only_where_its_file_says_so(
    settings_upstream: Settings, tmp_path: Path, heard: Heard, passes: bool
) -> None:
    up = Upstream(settings_upstream.upstreams_folder, tmp_path / "plan.json")
    up.options = "pass_trace = true" if passes else ""
    await call_upstream(settings_upstream, up, heard)
    for call in up.calls():
        told = call.get("_meta", {})
        names = {f"{span:016x}" for span in heard.of("back_end")}
        assert ("traceparent" in told) is passes
        if passes:
            _version, trace, span, _flags = told["traceparent"].split("-")
            assert (trace, span in names) == (TRACE, True)
    assert not any(name in noted(up) for name in ("tracestate", "baggage", SECRET, SPAN))


async def test_nothing_of_a_caller_goes_on_to_an_upstream_server_without_telemetry_either(
    settings_upstream: Settings, tmp_path: Path
) -> None:
    up = Upstream(settings_upstream.upstreams_folder, tmp_path / "plan.json")
    await call_upstream(settings_upstream, up)
    assert not any(name in noted(up) for name in ("traceparent", "tracestate", "baggage", TRACE, SECRET))


async def call_upstream(settings: Settings, up: Upstream, heard: Heard | None = None) -> None:
    """Call a tool on the session that all share, and one that has a session for each call."""
    up.offers(wire_tool("look"))
    up.offers(wire_tool("tell"), more='passes = ["log"]')
    async with fronting(settings, up) as front:
        await front.until(lambda: front.looked)
        gateway = telling(front.gateway, heard) if heard else front.gateway
        async with Client(build_server(gateway, ANA_UP)) as client:
            for tool in ("up_look", "up_tell"):
                answer = await client.call_tool(tool, {}, meta=with_trace(PARENT))
                assert (answer.structured_content or {})["status"] == "ok"
    assert len(up.calls()) == 2


def noted(up: Upstream) -> str:
    """Every request that reached the server."""
    return up.plan_file.with_suffix(".calls").read_text()


# To a collector


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, bytes]]]:
    got: dict[str, bytes] = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_said: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        serving.join()


def test_spans_and_times_reach_the_collector_that_the_standard_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "front-door")
        with telemetry_to_collector(True) as telemetry:
            assert telemetry.recording
            telemetry.recording.durations.record(0.2, {"mcp.method.name": "ping"})
            with telemetry.span("decide"):
                pass
    traces = ExportTraceServiceRequest.FromString(got["/v1/traces"]).resource_spans[0]
    assert [span.name for span in traces.scope_spans[0].spans] == ["decide"]
    assert "front-door" in {each.value.string_value for each in traces.resource.attributes}
    times = ExportMetricsServiceRequest.FromString(got["/v1/metrics"]).resource_metrics[0].scope_metrics[0].metrics
    assert [metric.name for metric in times] == ["mcp.server.operation.duration"]


def test_a_collector_that_is_away_keeps_nobody_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("gateway.telemetry.exporting._LAST_WORDS_SECONDS", 0.2)
    with telemetry_to_collector(True) as telemetry, telemetry.span("decide"):
        pass
