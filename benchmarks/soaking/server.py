"""A gateway with workers whose back ends stall and fail at random, while a file says so."""

import inspect
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
from pydantic import BaseModel
from starlette.applications import Starlette

from connectors.contract import CallContext
from connectors.errors import InDoubt, Unavailable
from connectors.registry import BackEnds
from gateway.app import open_gateway
from gateway.cli.serving import Serving, serve_with_workers
from gateway.home import utc_now
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.server import build_server
from gateway.settings import load_settings
from gateway.tokens import Tokens

CALL_TIMEOUT = 4.0
FAULTS = "faults"
"""The file in the home that says that back ends are to be troublesome."""
_STALLED_SECONDS, _EVERY_SECONDS = 6, 60


class _Troubled:
    """A back end that fails before or after it did what it was told, stalls now and then, and stops once a minute."""

    def __init__(self, inner: object, faults: Path) -> None:
        self._inner, self._faults, self._random = inner, faults, Random()

    def __getattr__(self, name: str) -> Any:
        method: Callable[[CallContext, BaseModel], Awaitable[Any]] = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method) or name.count("_") < 2:
            return method

        async def troubled(call: CallContext, args: BaseModel) -> Any:
            if not self._faults.exists():
                return await method(call, args)
            await self._before()
            result = await method(call, args)
            if self._random.random() < 0.004:
                raise InDoubt("the connection broke before the answer")
            if self._random.random() < 0.004:
                await anyio.sleep(2 * CALL_TIMEOUT)
            return result

        return troubled

    async def _before(self) -> None:
        if (into := time.time() % _EVERY_SECONDS) < _STALLED_SECONDS:
            await anyio.sleep(_STALLED_SECONDS - into)
        chance = self._random.random()
        if chance < 0.01:
            raise Unavailable("it does not answer")
        if chance < 0.03:
            await anyio.sleep(self._random.random() * 2 * CALL_TIMEOUT)


@dataclass(frozen=True)
class TroubledServing(Serving):
    """Serves the shipped tools over troubled back ends."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Starlette]:
        """The app."""
        faults = self.settings.home / FAULTS
        with self.settings.open_database() as database:
            async with open_gateway(self.settings) as shipped:
                areas = ("crm", "ticket", "email", "knowledge")
                back_ends = {area: _Troubled(getattr(shipped.back_ends, area), faults) for area in areas}
                gateway = replace(shipped, back_ends=BackEnds(**back_ends))  # type: ignore[arg-type]
                verifier = StaticTokenVerifier(Tokens(database), utc_now)
                server = build_server(gateway, None)
                yield build_http_app(gateway, server, self.settings, self.host, self.port, verifier, database)


if __name__ == "__main__":
    port, home, workers, database_url = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    settings = load_settings(
        home=home,
        policies=home / "policies",
        database_url=database_url,
        call_timeout=CALL_TIMEOUT,
        breaker_pause=2.0,
        recovery_interval=2.0,
    )
    serve_with_workers(TroubledServing(settings, "127.0.0.1", port, no_auth=False), workers)
