"""The HTTP app: the MCP endpoint behind authentication and Host and Origin checks, the console, probes and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hmac import compare_digest
from pathlib import Path
from typing import Any

import anyio
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.approvals.endpoint import PATH as CHANGES
from gateway.approvals.endpoint import changes_endpoint
from gateway.background import background
from gateway.console.app import Address, console_routes
from gateway.database import Database
from gateway.gateway import Gateway
from gateway.grants.endpoint import grant_routes
from gateway.identity import StaticTokenVerifier
from gateway.leaving import leaving_when_told
from gateway.limits.flood import Flood
from gateway.metrics import CONTENT_TYPE
from gateway.metrics_together import Together
from gateway.oauth.serving import authorization
from gateway.principal import Principal
from gateway.readiness import Readiness
from gateway.sessions.replies import Replies
from gateway.sessions.sealed_id import Seal
from gateway.sessions.shared import SharedSessions
from gateway.settings import Settings, is_loopback
from gateway.tokens import Tokens


def build_http_app(
    gateway: Gateway,
    server: Server[Any],
    settings: Settings,
    host: str,
    port: int,
    verifier: StaticTokenVerifier | None,
    database: Database | None = None,
    beside: Path | None = None,
    operator_named: Principal | None = None,
) -> Starlette:
    """Make the ASGI app.

    Args:
        gateway: For the readiness probe and the metrics.
        server: The MCP server.
        settings: Limits and accepted hosts.
        host: The address it will be served on; decides which Host headers are accepted.
        port: The port it will be served on.
        verifier: Checks the tokens of `remit token create`; None serves without authentication.
        database: Where the console finds the journal and who is signed in, and grants the tokens that issue them; None
            serves neither.
        beside: The folder where it meets the other processes of its address; None if there are none.
        operator_named: Who asks for changes of approvals without authentication; None refuses them.
    """
    accepted = _accepted(settings, host, port)
    sessions = _sessions(gateway, server, settings, accepted, database)
    flood = Flood(gateway)
    mcp: ASGIApp = StreamableHTTPASGIApp(sessions)
    told = changes_endpoint(gateway.approvals.changes, gateway.now, operator_named)
    changes: ASGIApp = _FromHere(told, accepted)
    oauth: list[BaseRoute] = []
    if verifier:
        behind = AuthContextMiddleware(RequireAuthMiddleware(mcp, required_scopes=[]))
        mcp, oauth = authorization(gateway, verifier, behind, flood.by_caller, settings.max_body, database)
        changes = replace(mcp, app=changes, beside=CHANGES)

    readiness, together = Readiness(gateway), Together(gateway.metrics, beside)

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> JSONResponse:
        is_ready, told = await readiness.look()
        return JSONResponse(told, 200 if is_ready else 503)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with (
            sessions.run(),
            background(gateway, settings),
            leaving_when_told(gateway, settings),
            anyio.create_task_group() as tasks,
        ):
            if settings.metrics_token:
                tasks.start_soon(together.listen)
            yield
            tasks.cancel_scope.cancel()

    metrics = [_metrics(together, settings.metrics_token)] if settings.metrics_token else []
    address = Address(accepted.allowed_hosts, accepted.allowed_origins)
    pages = console_routes(gateway, database, settings, address) if settings.console and database else []
    grants = grant_routes(gateway.grants, Tokens(database), gateway.now) if database else []
    return Starlette(
        # In the order of how often they are asked for: the first that fits is taken.
        routes=[
            Route("/mcp", mcp),
            Route("/healthz", alive),
            Route("/readyz", ready),
            *metrics,
            Route(f"/{CHANGES}", changes, methods=["GET"]),
            *grants,
            *oauth,
            *pages,
        ],
        middleware=[Middleware(_trimmed), Middleware(flood.by_address)],
        lifespan=lifespan,
    )


def _trimmed(app: ASGIApp) -> ASGIApp:
    """Blanks around a header's value are no part of it (RFC 9110, section 5.5); not every parser leaves them out."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [(name, value.strip(b" \t")) for name, value in scope["headers"]]}
        await app(scope, receive, send)

    return serve


class _FromHere:
    """An app for requests whose Host and Origin are accepted, as the MCP endpoint takes them."""

    def __init__(self, app: ASGIApp, accepted: TransportSecuritySettings) -> None:
        self._app = app
        self._security = TransportSecurityMiddleware(accepted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = await self._security.validate_request(Request(scope), is_post=False)
        await (refused or self._app)(scope, receive, send)


def _sessions(
    gateway: Gateway,
    server: Server[Any],
    settings: Settings,
    accepted: TransportSecuritySettings,
    database: Database | None,
) -> SharedSessions:
    seal = Seal(gateway.patience.state_key, settings.session_ttl)
    replies = Replies(database, seal, gateway.now) if database else None
    return SharedSessions(server, seal, replies, settings.tenant, accepted, settings.max_body)


def _metrics(together: Together, token: SecretStr) -> Route:
    wanted = token.get_secret_value().encode()

    async def metrics(request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(given.strip().encode(), wanted):
            told = "send the bearer token that the setting `metrics_token` names\n"
            return PlainTextResponse(told, 401, {"WWW-Authenticate": "Bearer"})
        return Response(await together.written(), headers={"Content-Type": CONTENT_TYPE})

    return Route("/metrics", metrics)


def _accepted(settings: Settings, host: str, port: int) -> TransportSecuritySettings:
    # A name that an attacker's page resolves to this machine (DNS rebinding) arrives with a foreign Host header.
    names = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(host) else [host]
    hosts = [f"{name}:{port}" for name in names]
    return TransportSecuritySettings(
        allowed_hosts=[*hosts, *settings.allowed_hosts],
        allowed_origins=[*(f"http://{host}" for host in hosts), *settings.allowed_origins],
    )
