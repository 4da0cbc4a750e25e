"""The protocol's client side: the one module that speaks MCP to upstream servers, on the official SDK.

Nothing of a caller goes along: no token, no header, no metadata. On the session that all calls share, what a server
asks of its client (elicitation, sampling, roots) is not offered, and refused; what it logs is dropped. A call of a tool
whose file passes such things on has a session of its own (`asking_calls.py`).
"""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp.types as wire
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError
from structlog import get_logger

from connectors.mcp_upstream.declaration import Http, Secret, Server, Stdio
from connectors.mcp_upstream.definition import Definition
from connectors.mcp_upstream.failures import NOT_LET_IN, BadServer, Lost, NotLetIn, Refused
from connectors.mcp_upstream.process import Child, running
from connectors.mcp_upstream.results import NotData, plain, text
from connectors.mcp_upstream.showing import Showing, ShowingTransport, hiding
from connectors.mcp_upstream.tracing import passing_on

log = get_logger("remit.upstream")
# It quotes what a server sent, which may echo what the server was shown.
logging.getLogger("mcp.client.streamable_http").setLevel(logging.CRITICAL)

_MOST_TOOLS = 1_000
_MOST_PAGES = 50
_LARGEST_BODY = 16 * 2**20
_LONGEST_REFUSAL = 500
_UNKNOWN = frozenset({wire.CONNECTION_CLOSED, wire.REQUEST_TIMEOUT, wire.INTERNAL_ERROR, wire.PARSE_ERROR})
"""Error codes after which nobody knows whether the call was carried out."""
RESULT: TypeAdapter[wire.CallToolResult | wire.InputRequiredResult] = TypeAdapter(
    wire.CallToolResult | wire.InputRequiredResult
)
UNUSABLE = (ValidationError, httpx2.HTTPError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError)
"""What is raised where a server's answer is none, or does not come."""

REMIT = wire.Implementation(name="remit", version=version("remit"))

Progress = Callable[[float, float | None], Awaitable[None]]


class Connection:
    """An open session with a server. Use it from any task; only its own opens and closes it."""

    def __init__(self, client: Client, passes_trace: bool) -> None:
        self._client = client
        self._passes_trace = passes_trace
        self.is_open = True
        """False once it is known that nothing comes back on it any more."""

    async def definitions(self) -> tuple[Definition, ...]:
        """Every tool as the server defines it now.

        Raises:
            BadServer: If the list does not end, or is not one; also whatever the connection raises.
        """
        found: list[wire.Tool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            params = None if cursor is None else wire.PaginatedRequestParams(cursor=cursor)
            try:
                page = await self._client.session.list_tools(params=params)
            except MCPError as error:
                if error.code == wire.METHOD_NOT_FOUND:
                    return ()
                raise
            except ValidationError:
                raise BadServer("its list of tools does not follow the protocol") from None
            found += page.tools
            cursor = page.next_cursor
            if len(found) > _MOST_TOOLS:
                break
            if not cursor:
                return tuple(map(_definition, found))
        raise BadServer(f"its list of tools does not end within {_MOST_TOOLS} tools and {_MOST_PAGES} pages")

    async def call(self, name: str, arguments: Mapping[str, Any], told: Progress) -> wire.CallToolResult:
        """Call a tool by the server's name for it.

        Raises:
            Refused: If the server says no.
            NotLetIn: If it refuses what it is shown.
            Lost: If it gives no usable answer.
        """

        async def report(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - its words
            await told(progress, total)

        params = wire.CallToolRequestParams(name=name, arguments=dict(arguments))
        request = wire.CallToolRequest(params=params)
        try:
            # Not `call_tool`: it would check the result against the schema of the moment, and list tools for it.
            with passing_on(self._passes_trace):
                result = await self._client.session.send_request(request, RESULT, progress_callback=report)
        except MCPError as error:
            self.is_open = error.code != wire.CONNECTION_CLOSED
            raise failed(error) from None
        except UNUSABLE as error:
            self.is_open = isinstance(error, ValidationError)
            raise failed(error) from None
        if isinstance(result, wire.InputRequiredResult):
            raise Refused("it asks its client for something that the gateway does not give")
        return result

    @property
    def version(self) -> str:
        """The protocol version that its server speaks."""
        return self._client.protocol_version


def failed(error: Exception) -> Exception:
    """What an error of the protocol or the transport means for a call that was sent."""
    if isinstance(error, MCPError) and error.code == NOT_LET_IN:
        return NotLetIn(error.message)
    if isinstance(error, MCPError) and error.code not in _UNKNOWN:
        return Refused(text(error.message)[:_LONGEST_REFUSAL])
    return Lost(type(error).__name__)


def _definition(tool: wire.Tool) -> Definition:
    hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
    parts = (tool.input_schema, tool.output_schema, hints)
    try:
        schema, output, annotations = map(plain, parts)
    except NotData as error:
        raise BadServer(f"a definition cannot be read: {error}") from None
    return Definition(
        text(tool.name), text(tool.title or ""), text(tool.description or ""), schema, output, annotations
    )


@asynccontextmanager
async def connected(
    server: Server, changed: Callable[[], None], shown: Showing | None = None
) -> AsyncIterator[Connection]:
    """Open a session until the block ends.

    Args:
        server: Where to.
        changed: Called when the server says that its tools changed.
        shown: What it is shown, if its file names a credential.

    Raises:
        BadServer: If a secret for it is missing.
        Exception: Whatever stands in the way, from the transport or the protocol.
    """

    async def heard(message: object) -> None:
        if isinstance(message, wire.ToolListChangedNotification):
            changed()

    opened: list[Connection] = []

    def ended() -> None:
        for connection in opened:
            connection.is_open = False
        changed()

    client = Client(
        transport(server, ended, shown),
        read_timeout_seconds=server.timeout,
        message_handler=heard,
        client_info=REMIT,
        cache=None,
    )
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, client, changed)
        opened.append(Connection(client, server.pass_trace))
        yield opened[0]
        tasks.cancel_scope.cancel()


async def _listen(client: Client, changed: Callable[[], None]) -> None:
    """Hear of changed tools where the protocol has a stream for it (2026-07-28); looks find out without it too."""
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return
    try:
        async with client.listen(tools_list_changed=True) as changes:
            async for _ in changes:
                changed()
    except (MCPError, SubscriptionLost, ListenNotSupportedError, TimeoutError, httpx2.HTTPError) as error:
        log.debug("upstream_not_listened_to", why=type(error).__name__)


def transport(
    server: Server, ended: Callable[[], None], shown: Showing | None = None
) -> AbstractAsyncContextManager[Any]:
    """The way to a server, as the SDK's client takes it; `ended` is called when nothing comes back any more."""
    if server.stdio:
        return _stdio(server.name, server.stdio, ended)
    assert server.http  # noqa: S101 - a server is reached one way or the other
    return _http(server, server.http, shown)


@asynccontextmanager
async def _stdio(name: str, stdio: Stdio, ended: Callable[[], None]) -> AsyncIterator[Any]:
    async with running(name, stdio) as child, anyio.create_task_group() as tasks:
        deliver, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        with deliver, incoming, outgoing, to_send:
            tasks.start_soon(_deliver, child, deliver, ended)
            tasks.start_soon(_send, child, to_send, deliver)
            yield incoming, outgoing
            tasks.cancel_scope.cancel()


async def _deliver(child: Child, deliver: Any, ended: Callable[[], None]) -> None:  # noqa: ANN401 - a stream
    """Hand each message over; when the child falls silent for ever, so does the session."""
    with deliver:
        async for line in child.lines():
            try:
                message = wire.jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                continue  # Some servers print other things; a request without an answer has its time-out.
            try:
                await deliver.send(SessionMessage(message))
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return
    ended()


async def _send(child: Child, to_send: Any, deliver: Any) -> None:  # noqa: ANN401 - streams
    with to_send:
        async for each in to_send:
            try:
                await child.write(each.message.model_dump_json(by_alias=True, exclude_unset=True))
            except (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                deliver.close()
                return


@asynccontextmanager
async def _http(server: Server, http: Http, shown: Showing | None) -> AsyncIterator[Any]:
    headers = {name: _secret(name, secret) for name, secret in http.headers.items()}
    timeout = httpx2.Timeout(min(server.timeout, 10.0), read=None)
    # Neither a proxy nor a password that this machine's environment names goes along.
    sending = ShowingTransport(_Bounded(), shown) if shown else _Bounded()
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False, transport=sending) as client,
        streamable_http_client(http.url, http_client=client) as streams,
    ):
        if shown is None:
            yield streams
            return
        async with hiding(streams, shown) as cleaned:
            yield cleaned


def _secret(name: str, secret: Secret) -> str:
    if secret.env is not None:
        found = os.environ.get(secret.env, "")
        where = f"the environment variable `{secret.env}`"
    else:
        where = f"the file `{secret.file}`"
        try:
            found = Path(secret.file or "").read_text("utf-8").strip()
        except (OSError, ValueError):
            found = ""
    if not found:
        raise BadServer(f"the header `{name}` needs {where}, which holds nothing")
    return secret.before + found


class _Bounded(httpx2.AsyncHTTPTransport):
    """Refuses answers that are larger than anything a result may be; a stream of events has its own bound for each."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _BoundedStream(response.stream)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - as httpx2 has it
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _LARGEST_BODY
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise httpx2.StreamError("the answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
