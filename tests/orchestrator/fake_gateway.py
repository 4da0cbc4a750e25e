"""A small real MCP server that answers as Remit does, for the orchestrator's tests."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp.types as wire
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = "remit_test_token"
AT = "2026-03-02T09:00:00Z"
Answer = dict[str, Any]

TICKET_TEXT = ["subject", "requester_name", "requester_email", "comments[].author", "comments[].body"]
THREAD_TEXT = ["subject", "messages[].sender_name", "messages[].sender_email", "messages[].subject", "messages[].body"]
READS = frozenset(
    {
        "crm_search_contacts",
        "crm_get_orders",
        "knowledge_search_documents",
        "ticket_search_tickets",
        "ticket_get_ticket",
        "email_search_messages",
        "email_get_thread",
    }
)
WRITES = frozenset(
    {
        "ticket_update_ticket",
        "ticket_add_note",
        "ticket_add_reply",
        "email_create_draft",
        "email_reply_message",
        "email_send_message",
        "crm_issue_refund",
    }
)


def ticket(number: int, subject: str, body: str) -> dict[str, Any]:
    comment = {"id": f"com_{number:04}", "kind": "public", "author": "Lena Vogt", "by_staff": False, "body": body}
    return {
        "id": f"tic_{number:04}",
        "subject": subject,
        "status": "new",
        "priority": "normal",
        "requester_name": "Lena Vogt",
        "requester_email": "lena@customer.example",
        "tags": ["web"],
        "version": 1,
        "comments": [{**comment, "at": AT}],
    }


def thread(number: int, subject: str, body: str) -> dict[str, Any]:
    message = {
        "id": f"msg_{number:04}",
        "thread_id": f"thr_{number:04}",
        "folder": "inbox",
        "sender_name": "Lena Vogt",
        "sender_email": "lena@customer.example",
        "to": ["support@larkspur.example"],
        "subject": subject,
        "body": body,
    }
    return {"id": f"thr_{number:04}", "mailbox": "support@larkspur.example", "subject": subject, "messages": [message]}


CONTACT = {
    "id": "con_0001",
    "name": "Lena Vogt",
    "email": "lena@customer.example",
    "account_id": "acc_0001",
    "account_name": "Vogt GmbH",
}
ORDER = {"id": "ord_0001", "number": "LI-20417", "status": "delivered", "account_id": "acc_0001", "total": "90.00"}
PASSAGE = {
    "document_id": "doc_0001",
    "title": "Refund rules",
    "text": "A refund needs the order number and is paid within ten working days.",
    "origin": "official",
}


@dataclass
class FakeGateway:
    """Tickets and conversations in memory. `answers` overrules the answer of a tool; `calls` remembers every call."""

    tickets: list[dict[str, Any]] = field(default_factory=list)
    threads: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Answer | Callable[[dict[str, Any]], Awaitable[Answer]]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    granted: list[dict[str, Any]] = field(default_factory=list)
    grant_answer: tuple[int, Any] | None = None
    """What a request for a grant is answered instead of one."""
    away: int = 0
    """The status with which what stands before it answers everything in its place."""

    def called(self, tool: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments, _ in self.calls if name == tool]

    def server(self) -> Server[Any]:
        return Server("fake-remit", on_list_tools=self._list, on_call_tool=self._call)

    async def grant(self, request: Request) -> Response:
        self.granted.append(await request.json())
        number = len(self.granted)
        status, told = self.grant_answer or (201, {"id": f"gra_{number}", "token": f"granted-{number}", "run": "run_1"})
        return JSONResponse(told, status)

    async def _list(
        self, _context: ServerRequestContext[Any, Any], _params: wire.PaginatedRequestParams | None
    ) -> wire.ListToolsResult:
        tools = [
            wire.Tool(
                name=name,
                description=f"The tool {name}.",
                input_schema={"type": "object"},
                annotations=wire.ToolAnnotations(read_only_hint=name in READS),
            )
            for name in sorted(READS | WRITES)
            if name not in self.hidden
        ]
        return wire.ListToolsResult(tools=tools)

    async def _call(
        self, _context: ServerRequestContext[Any, Any], params: wire.CallToolRequestParams
    ) -> wire.CallToolResult:
        arguments = dict(params.arguments or {})
        self.calls.append((params.name, arguments, dict(params.meta or {})))
        if params.name in self.hidden or params.name not in READS | WRITES:
            raise MCPError(wire.INVALID_PARAMS, f"unknown tool: `{params.name}`")
        answer = self.answers.get(params.name)
        if callable(answer):
            answer = await answer(arguments)
        content = answer or self._answer(params.name, arguments)
        content = {"call_id": f"call_{len(self.calls)}", **content}
        return wire.CallToolResult(content=[], structured_content=content, is_error=content.get("status") == "failed")

    def _answer(self, tool: str, arguments: dict[str, Any]) -> Answer:
        match tool:
            case "ticket_search_tickets":
                return ok({"tickets": self.tickets, "next_cursor": ""}, ["tickets[].subject"])
            case "ticket_get_ticket":
                return ok(next(t for t in self.tickets if t["id"] == arguments["ticket_id"]), TICKET_TEXT)
            case "email_search_messages":
                messages = [message for each in self.threads for message in each["messages"]]
                return ok({"messages": messages, "next_cursor": ""}, ["messages[].subject"])
            case "email_get_thread":
                return ok(next(t for t in self.threads if t["id"] == arguments["thread_id"]), THREAD_TEXT)
            case "crm_search_contacts":
                return ok({"contacts": [CONTACT], "next_cursor": ""}, ["contacts[].name", "contacts[].email"])
            case "crm_get_orders":
                return ok({"orders": [ORDER]}, [])
            case "knowledge_search_documents":
                return ok({"passages": [PASSAGE], "next_cursor": ""}, ["passages[].title", "passages[].text"])
            case _:
                return ok({"id": "dra_0001"}, [])


def ok(result: dict[str, Any], untrusted: list[str]) -> Answer:
    return {"status": "ok", "result": result, "untrusted": untrusted}


DENIED: Answer = {"status": "denied", "reason": "drafts are not for triage", "rules": ["R12"], "next": "leave it"}
PENDING: Answer = {
    "status": "pending_approval",
    "reason": "a person looks first",
    "rules": ["R7"],
    "approval": {"id": "apr_0001"},
    "next": "wait",
}
FAILED: Answer = {"status": "failed", "error": {"kind": "conflict", "message": "the ticket changed"}, "next": "read it"}


class _TokenCheck:
    def __init__(self, app: ASGIApp, gateway: FakeGateway) -> None:
        self.app = app
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.gateway.away:
            await PlainTextResponse("<h1>lena@customer.example: try later</h1>", self.gateway.away)(
                scope, receive, send
            )
            return
        if scope["type"] == "http" and Request(scope).headers.get("authorization") != f"Bearer {TOKEN}":
            refusal: Response = JSONResponse({"error": "invalid_token"}, 401)
            await refusal(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"] == "/grants":
            await (await self.gateway.grant(Request(scope, receive)))(scope, receive, send)
            return
        await self.app(scope, receive, send)


@asynccontextmanager
async def over_http(gateway: FakeGateway) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Serve on a free loopback port; yields the URL and the server (to stop it early)."""
    async with serving(_TokenCheck(gateway.server().streamable_http_app(), gateway)) as (address, server):
        yield f"{address}/mcp", server


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Run any ASGI app on a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="on", timeout_graceful_shutdown=1)
        server = _Announcing(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await server.up.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            await running
