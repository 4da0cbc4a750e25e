"""The tool on the SDK's own low-level server, and nothing else."""

import sys
from typing import Any

import mcp.types as wire
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

TOOL = "echo_say_text"
INPUT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
OUTPUT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


async def on_list_tools(
    _context: ServerRequestContext[Any, Any], _params: wire.PaginatedRequestParams | None
) -> wire.ListToolsResult:
    """The one tool."""
    tool = wire.Tool(name=TOOL, description="Say a text.", input_schema=INPUT, output_schema=OUTPUT)
    return wire.ListToolsResult(tools=[tool])


async def on_call_tool(
    _context: ServerRequestContext[Any, Any], params: wire.CallToolRequestParams
) -> wire.CallToolResult:
    """Say what was given."""
    text = str((params.arguments or {})["text"])
    return wire.CallToolResult(content=[wire.TextContent(text=text)], structured_content={"text": text})


if __name__ == "__main__":
    server = Server(
        "bare", on_list_tools=on_list_tools, on_call_tool=on_call_tool, get_tool_input_schema=lambda _: None
    )
    uvicorn.run(server.streamable_http_app(), port=int(sys.argv[1]), log_level="warning", access_log=False)
