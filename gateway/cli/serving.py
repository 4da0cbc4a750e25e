"""Serving HTTP, in this process or in several that share one address."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import anyio
import typer
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog import get_logger

from gateway.app import open_gateway
from gateway.cli.options import principal_named
from gateway.cli.starting import importing_much
from gateway.gateway import Gateway
from gateway.home import utc_now
from gateway.logs import log_to_stderr
from gateway.settings import Settings

log = get_logger("remit.serve")

_BACKLOG = 2_048
_LOOK_SECONDS = 1.0
_WORKER_SECONDS = 60
"""For so long a worker may be busy with starting, or with one thing, before it counts as dead."""
_STREAMS_END_SECONDS = 2
"""Once no call runs any more, streams that only wait for news are cut off after this."""


@dataclass(frozen=True)
class Serving:
    """What is served where.

    Args:
        settings: The gateway's.
        host: The address to listen on.
        port: The port.
        no_auth: Whether every caller is the principal that the settings name.
        beside: The folder where the processes of the address meet; None for a single one.
    """

    settings: Settings
    host: str
    port: int
    no_auth: bool
    beside: Path | None = None

    @property
    def server_options(self) -> dict[str, Any]:
        """What the HTTP server is told."""
        address = {"host": self.host, "port": self.port}
        return {
            **address,
            "log_config": None,
            "access_log": self.settings.log_requests,
            "server_header": False,
            "timeout_graceful_shutdown": _STREAMS_END_SECONDS,
        }

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Starlette]:
        """The app on an opened gateway.

        Raises:
            PolicyError: If the policy folder cannot be loaded.
            BadUpstream: If an upstream server's files cannot be used.
            JournalUnavailable: If the journal cannot be written.
        """
        with importing_much():
            from gateway.http import build_http_app
            from gateway.identity import StaticTokenVerifier
            from gateway.server import build_server
            from gateway.tokens import Tokens

        named = principal_named(self.settings, "--no-auth") if self.no_auth else None
        with self.settings.open_database() as database:
            async with open_gateway(self.settings) as gateway:
                verifier = None if self.no_auth else StaticTokenVerifier(Tokens(database), utc_now)
                server = build_server(gateway, named)
                app = build_http_app(
                    gateway, server, self.settings, self.host, self.port, verifier, database, self.beside, named
                )
                announce(gateway, f"http://{self.host}:{self.port}/mcp", str(named or "bearer tokens"))
                yield app


class _Worker:
    """The app of one process among several: it opens its gateway when it starts, and closes it when it ends."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._app: ASGIApp | None = None
        self._lifespan = Starlette(lifespan=self._open)

    @asynccontextmanager
    async def _open(self, _app: Starlette) -> AsyncIterator[None]:
        async with self._serving.opened() as app, app.router.lifespan_context(app), anyio.create_task_group() as tasks:
            self._app = app
            tasks.start_soon(_end_with_parent)
            yield
            tasks.cancel_scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._lifespan if scope["type"] == "lifespan" else self._app
        if app is None:
            raise RuntimeError("a request came before the gateway was opened")
        await app(scope, receive, send)


async def _end_with_parent() -> None:
    """End this process in order once its parent is gone: nobody would replace or stop it."""
    parent = parent_process()
    while parent is None or parent.is_alive():  # noqa: ASYNC110 - nothing tells
        await anyio.sleep(_LOOK_SECONDS)
    log.warning("ending_because_the_parent_process_is_gone")
    signal.raise_signal(signal.SIGTERM)


@dataclass(frozen=True)
class _Workers:
    """Makes the app in each process."""

    serving: Serving

    def __call__(self) -> ASGIApp:
        log_to_stderr(self.serving.settings.log_level, self.serving.settings.log_form)
        return _Worker(self.serving)


def serve_alone(serving: Serving) -> None:
    """Serve with this process until told to end.

    Raises:
        PolicyError: If the policy folder cannot be loaded.
        BadUpstream: If an upstream server's files cannot be used.
        JournalUnavailable: If the journal cannot be written.
    """
    # The event loop that uvicorn chooses for several processes by itself.
    anyio.run(_serve, serving, backend_options={"use_uvloop": sys.platform != "win32"})


async def _serve(serving: Serving) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Stop; the signal is not raised once more at the end, since a process that was told to end ended well."""
            super().handle_exit(sig, frame)
            self._captured_signals.clear()

    async with serving.opened() as app:
        await Server(uvicorn.Config(app, **serving.server_options)).serve()


def serve_with_workers(serving: Serving, workers: int) -> None:
    """Serve with so many processes until told to end; one that dies is replaced.

    Raises:
        PolicyError: If the policy folder cannot be loaded.
        BadUpstream: If an upstream server's files cannot be used.
        JournalUnavailable: If the journal cannot be written.
        OSError: If the address cannot be listened on.
    """
    import uvicorn

    from gateway.cli.parent import Parent

    asyncio.run(_try(serving.settings))
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    with (
        TemporaryDirectory(prefix="remit-", dir=os.environ.get("RUNTIME_DIRECTORY")) as beside,
        socket.create_server((serving.host, serving.port), family=family, backlog=_BACKLOG) as listening,
    ):
        each = _Workers(replace(serving, beside=Path(beside)))
        config = uvicorn.Config(
            each,
            factory=True,
            workers=workers,
            timeout_worker_healthcheck=_WORKER_SECONDS,
            **serving.server_options,
        )
        parent = Parent(config, [listening])
        parent.run()
        if parent.could_not_start:
            raise typer.Exit(1)


async def _try(settings: Settings) -> None:
    """Say what is wrong once and here, not from each process."""
    async with open_gateway(settings):
        pass


def announce(gateway: Gateway, where: str, who: str) -> None:
    """Log that calls are served."""
    log.info("serving", at=where, callers=who, policy=gateway.policy.current.version, tools=len(gateway.catalog.tools))
