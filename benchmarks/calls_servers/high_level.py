"""The tool on the SDK's `MCPServer`, as most servers are written."""

import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("bare", log_level="WARNING")


@server.tool()
async def echo_say_text(text: str) -> str:
    """Say a text."""
    return text


if __name__ == "__main__":
    uvicorn.run(server.streamable_http_app(), port=int(sys.argv[1]), log_level="warning", access_log=False)
