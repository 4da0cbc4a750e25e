"""A server over streamable HTTP, on the official SDK, with all tools of the suite: `suite_server.py PORT FILE`.

It notes the headers of every request in the file. With a third argument it speaks the handshake eras only.
"""

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mcp.types as wire
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SOUND = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=="
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
TEXT = wire.TextContent(text="a simple text")
IMAGE = wire.ImageContent(data=PIXEL, mime_type="image/png")
AUDIO = wire.AudioContent(data=SOUND, mime_type="audio/wav")
FILE = wire.EmbeddedResource(
    resource=wire.TextResourceContents(uri="test://embedded", mime_type="text/plain", text="an embedded file")
)
CONTENT: dict[str, list[wire.ContentBlock]] = {
    "test_simple_text": [TEXT],
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [FILE],
    "test_multiple_content_types": [TEXT, IMAGE, FILE],
    "test_error_handling": [wire.TextContent(text="this tool always fails")],
    "test_tool_with_progress": [TEXT],
    "test_tool_with_logging": [TEXT],
    "test_logging_tool": [TEXT],
    "test_reconnection": [TEXT],
    "test_trigger_tool_change": [TEXT],
    "test_custom_headers": [TEXT],
    "test_hidden_headers": [TEXT],
    "json_schema_2020_12_tool": [TEXT],
}


def form(message: str, **properties: Any) -> wire.ElicitRequest:
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    return wire.ElicitRequest(params=wire.ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str) -> wire.CreateMessageRequest:
    said = wire.SamplingMessage(role="user", content=wire.TextContent(text=prompt))
    return wire.CreateMessageRequest(params=wire.CreateMessageRequestParams(messages=[said], max_tokens=100))


STRING, BOOLEAN = {"type": "string"}, {"type": "boolean"}
ROOTS = wire.ListRootsRequest()
OPTIONS = ["option1", "option2", "option3"]
TITLED = [{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}]
NAME = {"user_name": form("What is your name?", name=STRING)}
CONFIRM = {"confirm": form("Please confirm", ok=BOOLEAN)}
DEFAULTS = form(
    "Your details",
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
ENUMS = form(
    "Choose",
    untitledSingle={"type": "string", "enum": OPTIONS},
    titledSingle={"type": "string", "oneOf": TITLED},
    legacyEnum={"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
    untitledMulti={"type": "array", "items": {"type": "string", "enum": OPTIONS}},
    titledMulti={"type": "array", "items": {"anyOf": TITLED}},
)
# What each tool asks, round by round; with a state where there is one.
Rounds = Sequence[Mapping[str, wire.ElicitRequest | wire.CreateMessageRequest | wire.ListRootsRequest]]
ASKING: dict[str, Rounds] = {
    "test_sampling": [{"model": sampling("Say something")}],
    "test_elicitation": [{"user": form("Who are you?", username=STRING, email=STRING)}],
    "test_elicitation_sep1034_defaults": [{"user": DEFAULTS}],
    "test_elicitation_sep1330_enums": [{"user": ENUMS}],
    "test_streaming_elicitation": [NAME],
    "test_missing_capability": [{"model": sampling("Anything")}],
    "test_input_required_result_elicitation": [NAME],
    "test_input_required_result_sampling": [{"capital_question": sampling("What is the capital of France?")}],
    "test_input_required_result_list_roots": [{"client_roots": ROOTS}],
    "test_input_required_result_request_state": [CONFIRM],
    "test_input_required_result_multiple_inputs": [{**NAME, "greeting": sampling("Greet"), "client_roots": ROOTS}],
    "test_input_required_result_multi_round": [
        {"step1": form("Step 1: What is your name?", name=STRING)},
        {"step2": form("Step 2: What is your favorite color?", color=STRING)},
    ],
    "test_input_required_result_tampered_state": [CONFIRM],
    "test_input_required_result_capabilities": [{**NAME, "greeting": sampling("Greet")}],
}
STATEFUL = {
    name
    for name in ASKING
    if name.rpartition("result_")[2] in {"request_state", "multiple_inputs", "multi_round", "tampered_state"}
}
NOTHING = {"type": "object", "properties": {}}
PROMPT = {"type": "object", "properties": {"prompt": {"type": "string"}}}
MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}}
REGION = {"type": "object", "properties": {"region": {**STRING, "x-mcp-header": "Region"}}, "required": ["region"]}
SCHEMAS = {
    "test_custom_headers": REGION,
    "json_schema_2020_12_tool": SCHEMA,
    "test_sampling": PROMPT,
    "test_elicitation": MESSAGE,
}


async def list_tools(_context: Any, _params: Any) -> wire.ListToolsResult:
    tools = [
        wire.Tool(name=name, description=f"The suite's {name}.", input_schema=SCHEMAS.get(name, NOTHING))
        for name in (*CONTENT, *ASKING)
    ]
    return wire.ListToolsResult(tools=tools)


async def call_tool(context: Any, params: wire.CallToolRequestParams) -> wire.CallToolResult | wire.InputRequiredResult:
    name = params.name
    if name in ASKING:
        return await ask(context, params, ASKING[name])
    if name not in CONTENT:
        raise MCPError(wire.INVALID_PARAMS, f"unknown tool: {name}")
    if name == "test_tool_with_progress":
        for done in (0, 50, 100):
            await context.session.report_progress(done, 100, "working")
    if name in {"test_tool_with_logging", "test_logging_tool"}:
        for _ in range(3):
            await context.session.send_log_message(level="info", data="working", related_request_id=context.request_id)
    return wire.CallToolResult(content=CONTENT[name], is_error=name == "test_error_handling")


async def ask(
    context: Any, params: wire.CallToolRequestParams, rounds: Rounds
) -> wire.CallToolResult | wire.InputRequiredResult:
    """Ask in the way of the client's era: by the answer, or by requests of its own."""
    refuse_without(context, params.name)
    said: dict[str, Any] = dict(params.input_responses or {})
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        for requests in rounds:
            possible = {key: request for key, request in requests.items() if can(context, request)}
            said |= {key: await asked(context, request, params) for key, request in possible.items()}
        return done(said)
    number = int((params.request_state or "round 0").removeprefix("round "))
    requests = {key: each for key, each in rounds[number].items() if can(context, each)}
    if requests.keys() <= said.keys():
        number += 1
        if number == len(rounds):
            return done(said)
        requests = rounds[number]
    state = f"round {number}" if params.name in STATEFUL else None
    return wire.InputRequiredResult(input_requests=requests, request_state=state)


def can(context: Any, request: wire.InputRequest) -> bool:
    capabilities = context.session.client_capabilities or wire.ClientCapabilities()
    needed = {wire.ElicitRequest: "elicitation", wire.CreateMessageRequest: "sampling", wire.ListRootsRequest: "roots"}
    return getattr(capabilities, needed[type(request)]) is not None


def refuse_without(context: Any, name: str) -> None:
    """Refuse a client that lacks what the tool needs; one tool makes do with less."""
    lacking = [each for requests in ASKING[name] for each in requests.values() if not can(context, each)]
    if name == "test_input_required_result_capabilities" or not lacking:
        return
    needed: dict[str, Any] = (
        {"sampling": {}} if isinstance(lacking[0], wire.CreateMessageRequest) else {"elicitation": {}}
    )
    raise MCPError(
        wire.MISSING_REQUIRED_CLIENT_CAPABILITY, "the client cannot be asked", {"requiredCapabilities": needed}
    )


async def asked(context: Any, request: wire.InputRequest, params: wire.CallToolRequestParams) -> Any:
    results: dict[type[Any], type[Any]] = {
        wire.ElicitRequest: wire.ElicitResult,
        wire.CreateMessageRequest: wire.CreateMessageResult,
        wire.ListRootsRequest: wire.ListRootsResult,
    }
    if isinstance(request, wire.ElicitRequest) and "message" in (params.arguments or {}):
        told = {**request.params.model_dump(), "message": (params.arguments or {})["message"]}
        request = wire.ElicitRequest(params=wire.ElicitRequestFormParams.model_validate(told))
    related = ServerMessageMetadata(related_request_id=context.request_id)
    return await context.session.send_request(request, results[type(request)], metadata=related)


def done(said: dict[str, Any]) -> wire.CallToolResult:
    told = {key: each.model_dump(mode="json") for key, each in said.items()}
    return wire.CallToolResult(content=[wire.TextContent(text=f"state-ok {json.dumps(told)}")])


async def set_level(_context: Any, _params: Any) -> wire.EmptyResult:
    return wire.EmptyResult()


def noting(app: ASGIApp, noted_in: Path) -> ASGIApp:
    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            with noted_in.open("a") as noted:
                noted.write(json.dumps(headers) + "\n")
        await app(scope, receive, send)

    return note


server: Server[Any] = Server("suite", on_list_tools=list_tools, on_call_tool=call_tool)
server.add_request_handler("logging/setLevel", wire.SetLevelRequestParams, set_level)
server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="suite"))


def of_handshakes(app: ASGIApp) -> ASGIApp:
    """As a server that knows no later protocol: it answers what is asked first of a later one with an error."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version", b"").decode() in MODERN_PROTOCOL_VERSIONS:
            await JSONResponse({"error": "unsupported"}, 400)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return refuse


if __name__ == "__main__":
    # The suite asks older servers for logging, which the protocol gives up.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    port, noted, *handshakes = sys.argv[1:]
    app: ASGIApp = server.streamable_http_app()
    served = noting(of_handshakes(app) if handshakes else app, Path(noted))
    uvicorn.run(served, host="127.0.0.1", port=int(port), log_level="warning")
