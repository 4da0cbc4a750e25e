"""A server over streamable HTTP, on the official SDK, with the suite's tools: `suite_server.py PORT FILE`.

It notes the headers of every request in the file.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import mcp.types as wire
import uvicorn
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from starlette.types import ASGIApp, Receive, Scope, Send

PORT, NOTED = int(sys.argv[1]), Path(sys.argv[2])
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
    "test_sampling": [TEXT],
    "test_elicitation": [TEXT],
    "json_schema_2020_12_tool": [TEXT],
}
NOTHING = {"type": "object", "properties": {}}
PROMPT = {"type": "object", "properties": {"prompt": {"type": "string"}}}
MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}}
SCHEMAS = {"json_schema_2020_12_tool": SCHEMA, "test_sampling": PROMPT, "test_elicitation": MESSAGE}


async def list_tools(_context: Any, _params: Any) -> wire.ListToolsResult:
    tools = [
        wire.Tool(name=name, description=f"The suite's {name}.", input_schema=SCHEMAS.get(name, NOTHING))
        for name in CONTENT
    ]
    return wire.ListToolsResult(tools=tools)


async def call_tool(context: Any, params: wire.CallToolRequestParams) -> wire.CallToolResult:
    name, arguments = params.name, params.arguments or {}
    if name not in CONTENT:
        raise MCPError(wire.INVALID_PARAMS, f"unknown tool: {name}")
    if name == "test_tool_with_progress":
        for done in (0, 50, 100):
            await context.session.report_progress(done, 100, "working")
    if name == "test_tool_with_logging":
        for _ in range(3):
            await context.session.send_log_message(level="info", data="working", related_request_id=context.request_id)
    if name == "test_sampling":
        asked = wire.SamplingMessage(role="user", content=wire.TextContent(text=arguments.get("prompt", "?")))
        said = await context.session.create_message([asked], max_tokens=10, related_request_id=context.request_id)
        return wire.CallToolResult(content=[wire.TextContent(text=str(said.content))])
    if name == "test_elicitation":
        form = {"type": "object", "properties": {"username": {"type": "string"}}}
        given = await context.session.elicit_form(arguments.get("message", "?"), form, context.request_id)
        return wire.CallToolResult(content=[wire.TextContent(text=str(given.content))])
    return wire.CallToolResult(content=CONTENT[name], is_error=name == "test_error_handling")


async def set_level(_context: Any, _params: Any) -> wire.EmptyResult:
    return wire.EmptyResult()


def noting(app: ASGIApp) -> ASGIApp:
    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            with NOTED.open("a") as noted:  # noqa: ASYNC230 - it has nothing else to do
                noted.write(json.dumps(headers) + "\n")
        await app(scope, receive, send)

    return note


# The suite asks older servers for logging, which the protocol gives up.
warnings.simplefilter("ignore", MCPDeprecationWarning)
server: Server[Any] = Server("suite", on_list_tools=list_tools, on_call_tool=call_tool, on_set_logging_level=set_level)
if __name__ == "__main__":
    uvicorn.run(noting(server.streamable_http_app()), host="127.0.0.1", port=PORT, log_level="warning")
