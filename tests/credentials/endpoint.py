"""A real OAuth token endpoint on a loopback port: refresh tokens are good once, and a second use revokes everything."""

import socket
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HOST = "127.0.0.1"
CLIENT, CLIENT_SECRET = "remit:1", "client secret %/+"


@dataclass
class Endpoint:
    """The endpoint, and what it was asked."""

    port: int = 0
    refresh: str = "refresh-0"
    life: float | None = 300.0
    scope: str | None = "mail.read mail.send"
    forms: list[dict[str, str]] = field(default_factory=list)
    revoked: bool = False
    down: bool = False
    answer: Response | None = None
    gate: anyio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/token"

    async def __call__(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        self.forms.append(form)
        if self.gate:
            await self.gate.wait()
        if self.answer is not None:
            return self.answer
        if self.down:
            return JSONResponse({"error": "server_error", "error_description": form.get("refresh_token", "")}, 503)
        if "assertion" in form:
            return self._token(f"access-{len(self.forms)}")
        if not _is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        if form["grant_type"] == "client_credentials":
            return self._token(f"access-{len(self.forms)}")
        if self.revoked or form["refresh_token"] != self.refresh:
            self.revoked = True
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.refresh = f"refresh-{len(self.forms)}"
        return self._token(f"access-{len(self.forms)}", refresh_token=self.refresh)

    def _token(self, token: str, **more: str) -> Response:
        told: dict[str, Any] = {"access_token": token, "token_type": "bearer", **more}
        told |= {"expires_in": self.life} if self.life is not None else {}
        told |= {"scope": self.scope} if self.scope is not None else {}
        return JSONResponse(told)


def _is_client(request: Request, form: dict[str, str]) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme != "Basic":
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT, CLIENT_SECRET)
    name, _, secret = b64decode(given).decode().partition(":")
    return (unquote_plus(name), unquote_plus(secret)) == (CLIENT, CLIENT_SECRET)


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[Endpoint]:
    """Serve until the block ends."""
    endpoint = Endpoint()
    app = Starlette(routes=[Route("/token", endpoint.__call__, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    listening = socket.create_server((HOST, 0))
    endpoint.port = listening.getsockname()[1]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listening])
        yield endpoint
        server.should_exit = True
