"""The SDK's sessions, which a process that does not know one takes up from its id."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import anyio
from anyio.abc import TaskStatus
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext, authorization_context
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_connection
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager, _error_response
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter
from pydantic import ValidationError
from pydantic_core import from_json, to_json
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog import get_logger

from connectors.embedded.engine import reason
from gateway.identity import access_of
from gateway.sessions.replies import Replies
from gateway.sessions.sealed_id import Opened, Seal, owner_hash

log = get_logger("remit.sessions")

_LOOK_SECONDS = 0.2
_ENDED_KEPT = 10_000
_id_to_give: ContextVar[str] = ContextVar("id_to_give", default="")


class _BadMessage(Exception):
    """What is posted cannot be taken.

    Args:
        code: JSON-RPC's.
        message: What is wrong with it.
        request_id: Which request is answered so; None if nobody knows.
    """

    def __init__(self, code: int, message: str, request_id: str | int | None = None) -> None:
        super().__init__(message)
        self.told = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message))


class _Dispatcher(JSONRPCDispatcher[TransportContext]):
    """Asks a session's client under ids that no other process uses, and knows what is not answered yet."""

    tenant: str

    def _allocate_id(self) -> int:
        return secrets.randbits(52)

    @property
    def asked(self) -> list[int]:
        return [each for each in self._pending if isinstance(each, int)]

    def answered(self, reply: dict[str, Any]) -> None:
        error = reply.get("error")
        self._resolve_pending(reply["id"], ErrorData.model_validate(error) if error else reply["result"])


class SharedSessions(StreamableHTTPSessionManager):
    """Sessions that every process with the same key and database can go on with.

    Args:
        app: The MCP server.
        seal: Makes and reads ids.
        replies: Where replies are left for other processes; None if there are none.
        tenant: The tenant of clients without authentication.
        security_settings: Accepted hosts and origins.
        max_request_body_size: In bytes.
    """

    def __init__(
        self,
        app: Server[Any],
        seal: Seal,
        replies: Replies | None,
        tenant: str,
        security_settings: TransportSecuritySettings,
        max_request_body_size: int,
    ) -> None:
        super().__init__(app, security_settings=security_settings, max_request_body_size=max_request_body_size)
        self._seal = seal
        self._replies = replies
        self._tenant = tenant
        self._dispatchers: dict[str, _Dispatcher] = {}
        self._taking_up: dict[str, anyio.Event] = {}
        self._ended: dict[str, None] = {}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve sessions until the block ends."""
        async with super().run(), anyio.create_task_group() as tasks:
            if self._replies:
                tasks.start_soon(self._fetch_replies, self._replies)
            yield
            tasks.cancel_scope.cancel()

    async def _handle_stateful_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        session_id, owner = Headers(scope=scope).get(MCP_SESSION_ID_HEADER), _owner(scope)
        tenant, message = self._tenant_of(scope), dict[str, Any]()
        if scope["method"] == "POST":
            try:
                body = await _body(receive)
                receive, message = _bringing(body, receive), _message(body)
                if self._may_be_of(tenant, session_id or ""):
                    self._refuse_confusing(session_id, owner, message)
            except _BadMessage as bad:
                await Response(bad.told.model_dump_json(), 400, media_type="application/json")(scope, receive, send)
                return
        if session_id is None:
            opened = Opened.by(message, tenant, owner, secrets.token_urlsafe(9))
            _id_to_give.set(self._seal.session_id(opened) if opened else "")
        else:
            if scope["method"] != "DELETE":
                await self._take_up(session_id, tenant, owner, scope)
            if not self._may_be_of(tenant, session_id):
                await _error_response("Session not found", 404)(scope, receive, send)
                return
            if scope["method"] == "DELETE":
                self._end(session_id, owner_hash(tenant, owner))
            elif message and await self._left_for_another(session_id, owner, message):
                await Response(status_code=202)(scope, receive, send)
                return
        if scope["method"] == "GET":
            # Nothing that was sent is kept, so a stream that broke off begins anew: the SDK would not answer it at all.
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"last-event-id"]}
        await _served_once(super()._handle_stateful_request, scope, receive, send)

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        """The SDK's, under an id of ours."""
        transport = super()._admit_session(requestor)
        if transport and transport.mcp_session_id and (session_id := _id_to_give.get()):
            self._server_instances[session_id] = self._server_instances.pop(transport.mcp_session_id)
            if requestor is not None:
                self._session_owners[session_id] = self._session_owners.pop(transport.mcp_session_id)
            transport.mcp_session_id = session_id
        return transport

    async def _serve_opening_request(
        self, http_transport: StreamableHTTPServerTransport, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """The SDK's way, but for the dispatcher: answer what opens a session, and serve it until it ends."""
        session_id = http_transport.mcp_session_id or ""
        served = False

        async def noting(message: Message) -> None:
            nonlocal served
            served = served or (message["type"] == "http.response.start" and message["status"] < 400)
            await send(message)

        if self._task_group is None:
            raise RuntimeError("sessions are served while `run` does")
        try:
            await self._task_group.start(self._serve, http_transport, session_id, self._tenant_of(scope))
            await http_transport.handle_request(scope, receive, noting)
        finally:
            if not served:
                await self._discard_session(session_id, http_transport)

    async def _serve(
        self,
        transport: StreamableHTTPServerTransport,
        session_id: str,
        tenant: str,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        async with transport.connect() as (reading, writing):
            # `initialize` is answered before what a hasty client sends after it.
            dispatcher = _Dispatcher(reading, writing, inline_methods=frozenset({"initialize"}))
            dispatcher.tenant = tenant
            connection = Connection.for_loop(dispatcher, session_id=session_id)
            self._dispatchers[session_id] = dispatcher
            task_status.started()
            try:
                with transport.idle_scope or anyio.CancelScope():
                    await serve_connection(
                        self.app, dispatcher, connection=connection, lifespan_state=self._lifespan_state
                    )
            except Exception:
                log.exception("session_failed")
            finally:
                self._dispatchers.pop(session_id, None)
                await self._discard_session(session_id, transport)

    async def _take_up(self, session_id: str, tenant: str, owner: AuthorizationContext | None, scope: Scope) -> None:
        """Open a session that another process opened, if its id says so and it is the caller's."""
        while being_taken_up := self._taking_up.get(session_id):
            await being_taken_up.wait()
        if session_id in self._server_instances or session_id in self._ended:
            return
        opened = self._seal.opened(session_id)
        if opened is None or opened.owner != owner_hash(tenant, owner):
            return
        self._taking_up[session_id] = anyio.Event()
        try:
            _id_to_give.set(session_id)
            transport = self._admit_session(owner)
            if transport:
                await self._serve_opening_request(transport, *_asking(scope, opened.request))
                known = {MCP_SESSION_ID_HEADER: session_id, MCP_PROTOCOL_VERSION_HEADER: opened.version}
                told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
                await transport.handle_request(*_asking(scope, told, known))
        finally:
            self._taking_up.pop(session_id).set()

    def _refuse_confusing(
        self, session_id: str | None, owner: AuthorizationContext | None, message: dict[str, Any]
    ) -> None:
        """Refuse a request under the id of one that is not answered yet: each would get the other's answer."""
        transport, request_id = self._server_instances.get(session_id or ""), message.get("id")
        if not transport or "method" not in message or self._session_owners.get(session_id or "") != owner:
            return
        if str(request_id) in transport._request_streams:  # noqa: SLF001 - it has no other way to ask
            shown = str(request_id)[:64]
            raise _BadMessage(
                INVALID_REQUEST, f"a request with the id `{shown}` is not answered yet: take another id", request_id
            )

    def _tenant_of(self, scope: Scope) -> str:
        access = access_of(scope.get("user"))
        return access.principal.tenant if access else self._tenant

    def _may_be_of(self, tenant: str, session_id: str) -> bool:
        """Whether a session is not another tenant's: the SDK compares names, and two tenants may have the same."""
        dispatcher = self._dispatchers.get(session_id)
        return dispatcher is None or dispatcher.tenant == tenant

    def _end(self, session_id: str, owner: str) -> None:
        """Take it up no more, if whoever ends it is its owner; of one that is open the SDK sees to that as well."""
        opened = self._seal.opened(session_id)
        if opened is None or opened.owner != owner:
            return
        if len(self._ended) >= _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
        self._ended[session_id] = None

    async def _left_for_another(
        self, session_id: str, owner: AuthorizationContext | None, message: dict[str, Any]
    ) -> bool:
        """Whether this replies to what another process asked; then it is where that one looks."""
        dispatcher, request_id = self._dispatchers.get(session_id), message.get("id")
        if not self._replies or not dispatcher or self._session_owners.get(session_id) != owner:
            return False
        is_reply = "method" not in message and ("result" in message or "error" in message)
        if not is_reply or not isinstance(request_id, int) or request_id in dispatcher.asked:
            return False
        await self._replies.leave(dispatcher.tenant, session_id, message)
        return True

    async def _fetch_replies(self, replies: Replies) -> None:
        """Look for what other processes left, while clients are asked something. Runs until cancelled."""
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            for session_id, dispatcher in list(self._dispatchers.items()):
                if asked := dispatcher.asked:
                    try:
                        for reply in await replies.take(dispatcher.tenant, session_id, asked):
                            dispatcher.answered(reply)
                    except SQLAlchemyError as error:
                        log.error("replies_not_read", error=reason(error))


async def _served_once(serve: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request whose session may end meanwhile: one that was answered is not answered again, with an error."""
    answered = False

    async def once(message: Message) -> None:
        nonlocal answered
        if not answered:
            await send(message)
        answered = answered or (message["type"] == "http.response.body" and not message.get("more_body"))

    try:
        await serve(scope, receive, once)
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        if not answered:
            raise


def _owner(scope: Scope) -> AuthorizationContext | None:
    user = scope.get("user")
    return authorization_context(user) if isinstance(user, AuthenticatedUser) else None


async def _body(receive: Receive) -> bytes:
    """A request's body; its size was checked before."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _bringing(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read once more, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _message(body: bytes) -> dict[str, Any]:
    """A JSON-RPC message.

    Raises:
        _BadMessage: If it is none, in words of its own: the SDK's would tell what the gateway is made of.
    """
    try:
        message: dict[str, Any] = from_json(body)
    except ValueError:
        raise _BadMessage(PARSE_ERROR, "the body is not JSON") from None
    try:
        jsonrpc_message_adapter.validate_python(message, by_name=False)
    except ValidationError:
        raise _BadMessage(
            INVALID_REQUEST, "the body is not one request, notification or reply of JSON-RPC 2.0"
        ) from None
    return message


def _asking(
    scope: Scope, message: Mapping[str, Any], headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[Scope, Receive, Send]:
    """A request of the gateway's own, as if it came where another one came; its answer goes nowhere."""
    kept = [(name, value) for name, value in scope["headers"] if name in {b"host", b"origin"}]
    own = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    named = [(name.lower().encode(), value.encode()) for name, value in own.items()]

    async def nobody_hangs_up() -> Message:
        await anyio.sleep_forever()
        raise AssertionError  # pragma: no cover

    async def unheard(_message: Message) -> None:
        return None

    asking = {**scope, "method": "POST", "headers": [*kept, *named]}
    return asking, _bringing(to_json(message), nobody_hangs_up), unheard
