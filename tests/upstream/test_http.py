"""An upstream server over HTTP: gone, back again, and one that leads elsewhere."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp.types as wire
import uvicorn
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from gateway.settings import Settings
from tests.upstream.conftest import Upstream, fronting, result, wire_tool

HOST = "127.0.0.1"


@asynccontextmanager
async def http_server(port: int, **routes: Any) -> AsyncIterator[None]:
    """The tool `look`, over streamable HTTP."""

    async def list_tools(_context: Any, _params: Any) -> wire.ListToolsResult:
        tool = wire_tool("look")
        return wire.ListToolsResult(
            tools=[wire.Tool(name="look", description=tool["description"], input_schema=tool["inputSchema"])]
        )

    async def call_tool(_context: Any, _params: Any) -> wire.CallToolResult:
        return wire.CallToolResult(content=[wire.TextContent(text="seen")])

    inner = Server("http", on_list_tools=list_tools, on_call_tool=call_tool).streamable_http_app()
    app = Starlette(
        routes=[*(Route(f"/{name}", to, methods=["POST", "GET"]) for name, to in routes.items()), Mount("/", inner)],
        lifespan=lambda _app: inner.router.lifespan_context(inner),  # type: ignore[arg-type]
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [socket.create_server((HOST, port))])
        yield
        server.should_exit = True


def reach(up: Upstream, url: str) -> None:
    """Have the server's file say where it is."""
    up.write()
    up.accept()
    file = up.folder / "up.toml"
    file.write_text(f'prefix = "up"\nrecheck = 0.2\ntimeout = 3\n[http]\nurl = "{url}"\n{up.declared}')


async def test_a_server_that_goes_away_and_comes_back_is_reached_again(
    up: Upstream, settings: Settings, unused_port: int
) -> None:
    up.offers(wire_tool("look"))
    reach(up, f"http://{HOST}:{unused_port}/mcp")
    async with fronting(settings) as front:
        assert "1 not reached" in str(front.gateway.upstreams.state())
        async with http_server(unused_port):
            await front.until(lambda: not front.gateway.upstreams.state().unreachable)
            given = result(await front.call("up_look"))
            assert [block.text for block in given.content] == ["seen"]
        answer = await front.call("up_look")
        assert answer.error is not None
        assert answer.error.kind == "unavailable"
        async with http_server(unused_port):
            await front.until(lambda: not front.gateway.upstreams.state().unreachable)
            assert (await front.call("up_look")).status == "ok"


async def test_a_redirect_to_another_place_is_not_followed(up: Upstream, settings: Settings, unused_port: int) -> None:
    asked: list[str] = []

    async def elsewhere(request: Any) -> RedirectResponse:
        asked.append(str(request.url))
        return RedirectResponse("http://169.254.169.254/latest/meta-data", 307)

    up.offers(wire_tool("look"))
    reach(up, f"http://{HOST}:{unused_port}/away")
    async with http_server(unused_port, away=elsewhere), fronting(settings) as front:
        await front.until(lambda: asked)
        answer = await front.call("up_look")
    assert answer.error is not None
    assert answer.error.kind == "unavailable"
