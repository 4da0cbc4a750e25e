"""A whole MCP client: `python examples/call_a_tool.py http://127.0.0.1:8900/mcp` with REMIT_TOKEN set."""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['REMIT_TOKEN']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        for tool in (await client.list_tools()).tools:
            print(tool.name)
        answer = await client.call_tool("ticket_search_tickets", {"status": "new", "limit": 3})
        print(json.dumps(answer.structured_content, indent=2, ensure_ascii=False))


asyncio.run(main(sys.argv[1]))
