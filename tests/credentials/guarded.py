"""An upstream server over HTTP that lets in whoever shows a token it knows, and echoes what it is shown."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp.types as wire
import uvicorn
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.upstream.conftest import Upstream, wire_tool

HOST = "127.0.0.1"
TOOLS = {"look": "read", "write": "write", "echo": "read", "fail": "read"}


@dataclass
class Guarded:
    """The server, whom it lets in, and who called what."""

    port: int
    good: set[str]
    forbidden: set[str] = field(default_factory=set)
    modern: bool = True
    calls: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    words: str = "{}"
    """What it says, around what it was shown."""
    header: str = "authorization"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/mcp"

    def declare(self, up: Upstream, credential: str = 'looks_as = "larkspur"', more: str = "") -> None:
        """Have a file of the gateway say where it is and which credential it wants, with all tools accepted."""
        for name, effect in TOOLS.items():
            up.offers(wire_tool(name), effect)
        up.write()
        up.accept()
        head = f'prefix = "up"\nrecheck = 0.2\ntimeout = 5\n{more}\n[http]\nurl = "{self.url}"\n[http.credential]\n'
        (up.folder / "up.toml").write_text(f"{head}{credential}\n{up.declared}")


async def _list_tools(_context: Any, _params: Any) -> wire.ListToolsResult:
    made = [wire_tool(name) for name in TOOLS]
    return wire.ListToolsResult(
        tools=[
            wire.Tool(name=each["name"], description=each["description"], input_schema=each["inputSchema"])
            for each in made
        ]
    )


class _Guard:
    def __init__(self, app: ASGIApp, guarded: Guarded) -> None:
        self._app, self._guarded = app, guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, guarded = Request(scope, receive), self._guarded
        shown = request.headers.get(guarded.header, "")
        body = await request.body()
        method = json.loads(body or b"{}").get("method")
        if shown not in guarded.good or (method == "tools/call" and shown in guarded.forbidden):
            guarded.refused.append(shown)
            status = 403 if shown in guarded.good else 401
            await JSONResponse({"error": f"not {shown}"}, status)(scope, receive, send)
            return
        if method == "server/discover" and not guarded.modern:
            answer = {"jsonrpc": "2.0", "id": None, "error": {"code": wire.METHOD_NOT_FOUND, "message": "unknown"}}
            await JSONResponse(answer, 404)(scope, receive, send)
            return

        async def again() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            taken, body = body, None  # type: ignore[assignment]
            return {"type": "http.request", "body": taken, "more_body": False}

        await self._app(scope, again, send)


@asynccontextmanager
async def serving(guarded: Guarded) -> AsyncIterator[None]:
    """Serve until the block ends."""

    async def call_tool(context: Any, params: Any) -> wire.CallToolResult:
        shown = context.request.headers.get(guarded.header, "")
        guarded.calls.append((shown, params.name))
        said = guarded.words.format(shown.partition(" ")[2] or shown) if params.name in ("echo", "fail") else "done"
        text = wire.TextContent(text=said)
        structured = {"said": [said], said[:300]: True} if params.name == "echo" else None
        return wire.CallToolResult(content=[text], structured_content=structured, is_error=params.name == "fail")

    inner = Server("guarded", on_list_tools=_list_tools, on_call_tool=call_tool).streamable_http_app()
    app = Starlette(
        routes=[Mount("/", _Guard(inner, guarded))],
        lifespan=lambda _app: inner.router.lifespan_context(inner),  # type: ignore[arg-type]
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [socket.create_server((HOST, guarded.port))])
        yield
        server.should_exit = True
