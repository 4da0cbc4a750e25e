"""How a server over HTTP is shown a credential: anew in each request, so that a change counts with the next one.

A server that refuses it (401, 403) has done nothing: the request is sent once more if there is something else to show.
Whatever comes from the server is rid of what it was shown.
"""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import mcp.types as wire
from mcp.shared.message import SessionMessage

from connectors.credentials import Access, Credentials
from connectors.errors import Unavailable
from connectors.mcp_upstream.declaration import Credential, Server
from connectors.mcp_upstream.failures import NOT_LET_IN

_REFUSALS = frozenset({401, 403})
_MOST_SHOWN = 8


@dataclass
class Showing:
    """What one connection shows.

    Args:
        server: The server's name.
        credential: What its file says of it.
        credentials: Where it comes from.
        tenant: Whose it is.
        person: The person whose own may go first; None if the tenant's is shown.
    """

    server: str
    credential: Credential
    credentials: Credentials
    tenant: str
    person: str | None = None
    shown: deque[Access] = field(default_factory=lambda: deque(maxlen=_MOST_SHOWN))

    async def current(self) -> Access:
        """What to show now.

        Raises:
            Unavailable: If there is nothing.
        """
        return self._noted(await self.credentials.of(self.server, self.tenant, self.person))

    async def instead(self, access: Access) -> Access | None:
        """What to show after a refusal; None if there is nothing else.

        Raises:
            Unavailable: If nothing new can be had.
        """
        other = await self.credentials.refused(access)
        return self._noted(other) if other else None

    def hide(self, message: wire.JSONRPCMessage) -> wire.JSONRPCMessage:
        """A message of the server without what it was shown."""
        said = message.model_dump(by_alias=True, mode="json", exclude_unset=True)
        kept = said
        for access in self.shown:
            kept = access.hide_in(kept)
        return message if kept == said else wire.jsonrpc_message_adapter.validate_python(kept, by_name=False)

    def _noted(self, access: Access) -> Access:
        if access not in self.shown:
            self.shown.append(access)
        return access


def showing(server: Server, credentials: Credentials, tenant: str, person: str | None = None) -> Showing | None:
    """What a connection for a caller shows; None if the server's file names no credential."""
    if server.credential is None:
        return None
    return Showing(server.name, server.credential, credentials, tenant, person if server.credential.personal else None)


class ShowingTransport(httpx2.AsyncBaseTransport):
    """Shows a credential in each request that passes.

    Args:
        within: Sends them.
        showing: What is shown.
    """

    def __init__(self, within: httpx2.AsyncBaseTransport, showing: Showing) -> None:
        self._within, self._showing = within, showing

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, or say in the server's place that it was not let in."""
        try:
            access = await self._showing.current()
            response = await self._sent(request, access)
            if response.status_code not in _REFUSALS:
                return response
            await response.aclose()
            if response.status_code == 401 and (other := await self._showing.instead(access)):
                response = await self._sent(request, other)
                if response.status_code not in _REFUSALS:
                    return response
                await response.aclose()
        except Unavailable as error:
            return _not_let_in(request, error.message)
        told = "refuses the credential" if response.status_code == 401 else "does not let this credential do that"
        return _not_let_in(request, f"the server `{self._showing.server}` {told}; nothing was done")

    async def aclose(self) -> None:
        """Close what sends them."""
        await self._within.aclose()

    async def _sent(self, request: httpx2.Request, access: Access) -> httpx2.Response:
        credential = self._showing.credential
        request.headers[credential.header] = access.header(credential.before)
        return await self._within.handle_async_request(request)


def _not_let_in(request: httpx2.Request, why: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": NOT_LET_IN, "message": why}}
    headers = {"content-type": "application/json"}
    return httpx2.Response(401, headers=headers, content=json.dumps(error).encode(), request=request)


@asynccontextmanager
async def hiding(streams: Any, showing: Showing) -> AsyncIterator[Any]:  # noqa: ANN401 - as the SDK has them
    """A transport's streams, with what was shown taken out of whatever comes."""
    incoming, outgoing = streams
    deliver, cleaned = anyio.create_memory_object_stream[SessionMessage | Exception](0)

    async def forward() -> None:
        async with deliver:
            async for each in incoming:
                kept = (
                    each if isinstance(each, Exception) else SessionMessage(showing.hide(each.message), each.metadata)
                )
                try:
                    await deliver.send(kept)
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                    return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(forward)
        with cleaned:
            yield cleaned, outgoing
        tasks.cancel_scope.cancel()
