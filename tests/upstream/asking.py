"""A client that is asked, in front of a gateway, and what the server behind it asks."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp.types as wire
from mcp import Client
from mcp.client import ClientRequestContext

from gateway.principal import Principal
from gateway.server import build_server
from tests.upstream.conftest import ANA, Fronting, Upstream, wire_tool

MODERN, HANDSHAKES = "2026-07-28", "legacy"
ERAS = [MODERN, HANDSHAKES]
NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PASSES = 'passes = ["log", "form", "page", "sampling", "roots"]'
HEAD = 'clearance = "internal"\npages = ["pay.example"]'
SAYS_INTERNAL = '[tools."{}".text]\nconfidentiality = "internal"\n'


def form(message: str = "Who?", schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """A form as it is asked for on the wire."""
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema or NAME}}


def page(url: str) -> dict[str, Any]:
    params = {"mode": "url", "message": "Pay here", "url": url, "elicitationId": "e1"}
    return {"method": "elicitation/create", "params": params}


def sampling(prompt: str = "Capital of France?", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": {"type": "text", "text": prompt}}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100, **more}}


ROOTS = {"method": "roots/list", "params": {}}


def offers_asking(up: Upstream, name: str = "ask", effect: str = "read", **requests: dict[str, Any]) -> None:
    """Have a tool in whose course the server asks, and whose file passes it on."""
    up.options = HEAD
    up.offers(wire_tool(name), effect, f"{PASSES}\n{SAYS_INTERNAL.format(name)}", do="asks", requests=requests)


@dataclass
class Caller:
    """What a client is asked, and what it says."""

    says: Callable[[Any], Any] = lambda _: wire.ElicitResult(action="accept", content={"name": "Ana"})
    forms: list[wire.ElicitRequestParams] = field(default_factory=list)
    prompts: list[wire.CreateMessageRequestParams] = field(default_factory=list)
    lines: list[wire.LoggingMessageNotificationParams] = field(default_factory=list)
    model_says: str = "Paris"

    @property
    def asked(self) -> int:
        return len(self.forms) + len(self.prompts)

    async def elicited(self, context: ClientRequestContext, params: wire.ElicitRequestParams) -> Any:
        self.forms.append(params)
        return self.says(params)

    async def sampled(self, context: ClientRequestContext, params: wire.CreateMessageRequestParams) -> Any:
        self.prompts.append(params)
        said = wire.TextContent(text=self.model_says)
        return wire.CreateMessageResult(role="assistant", content=said, model="m")

    async def listed(self, context: ClientRequestContext) -> wire.ListRootsResult:
        return wire.ListRootsResult(roots=[wire.Root.model_validate({"uri": "file:///work", "name": "work"})])

    async def heard(self, params: wire.LoggingMessageNotificationParams) -> None:
        self.lines.append(params)


@asynccontextmanager
async def client_of(
    front: Fronting, caller: Caller, mode: Any = MODERN, who: Principal = ANA, log_level: Any = None
) -> AsyncIterator[Client]:
    """A client that can do everything."""
    async with Client(
        build_server(front.gateway, who),
        mode=mode,
        elicitation_callback=caller.elicited,
        sampling_callback=caller.sampled,
        list_roots_callback=caller.listed,
        logging_callback=caller.heard,
        log_level=log_level,
    ) as client:
        yield client


def told(result: wire.CallToolResult) -> dict[str, Any]:
    """The answer of a call."""
    return result.structured_content or {}
