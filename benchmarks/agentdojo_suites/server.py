"""One AgentDojo suite as an MCP server over streamable HTTP on this machine: its own tools on its own environment."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp.types as wire
import uvicorn
from agentdojo.functions_runtime import FunctionsRuntime
from agentdojo.task_suite.task_suite import TaskSuite
from mcp.server.lowlevel import Server
from pydantic import BaseModel


class SuiteServer:
    """Serves a suite's tools; `environment` is what they work on and may be replaced between two calls."""

    def __init__(self, suite: TaskSuite[Any]) -> None:
        self.environment: Any = suite.load_and_inject_default_environment({})
        self._runtime = FunctionsRuntime(suite.tools)

    async def list_tools(self, _context: object, _params: object) -> wire.ListToolsResult:
        return wire.ListToolsResult(
            tools=[
                wire.Tool(
                    name=name, description=function.description, input_schema=function.parameters.model_json_schema()
                )
                for name, function in self._runtime.functions.items()
            ]
        )

    async def call_tool(self, _context: object, params: wire.CallToolRequestParams) -> wire.CallToolResult:
        result, error = self._runtime.run_function(self.environment, params.name, params.arguments or {})
        content = {"result": _plain(result)}
        text = error or str(content["result"])
        return wire.CallToolResult(
            content=[wire.TextContent(text=text)],
            structured_content=None if error else content,
            is_error=error is not None,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return value


@asynccontextmanager
async def serving(served: SuiteServer) -> AsyncIterator[str]:
    """Serve until the block ends; gives the URL."""
    app = Server("suite", on_list_tools=served.list_tools, on_call_tool=served.call_tool).streamable_http_app()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="on"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
            await anyio.sleep(0.01)
        yield f"http://127.0.0.1:{port}/mcp"
        server.should_exit = True
