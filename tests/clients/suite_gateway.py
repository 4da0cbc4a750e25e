"""The gateway with the tools that the conformance suite looks for, declared, allowed and served like any other tool."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import anyio
import structlog
import uvicorn
from pydantic import ConfigDict

from connectors.contract import CallContext, Effect, Input, Output, tool, tools_of
from connectors.errors import Unavailable
from connectors.fields import OptionalLine, SystemText
from connectors.registry import TOOLS, BackEnds
from gateway.app import open_gateway
from gateway.catalog import Catalog
from gateway.http import build_http_app
from gateway.policy_source import PolicySource
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from tests.policies import policy_folder

HOST = "127.0.0.1"
CALLER = Principal("larkspur", person="suite")
ROLES = "g, person:suite, role:suite, larkspur\n"
RULES = """\
p, S1, role:suite, test_*, "", allow, "the suite calls its own tools"
p, S2, role:suite, json_schema_2020_12_tool, "", allow, "the suite looks at a schema"
"""
SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}}}},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"phone": {"const": ""}}},
    "then": {"required": ["email"]},
    "else": {"required": ["phone"]},
}


class Nothing(Input):
    """No arguments."""


class Reachable(Input):
    """Somebody's phone or email, with a schema that says more than types."""

    model_config = ConfigDict(json_schema_extra=SCHEMA_2020_12)

    phone: OptionalLine = ""
    email: OptionalLine = ""


class Said(Output):
    text: SystemText


class SuiteTools(Protocol):
    @tool(title="Simple text", effect=Effect.READ)
    async def test_simple_text(self, call: CallContext, args: Nothing) -> Said:
        """Say something."""

    @tool(title="Error", effect=Effect.READ)
    async def test_error_handling(self, call: CallContext, args: Nothing) -> Said:
        """Fail."""

    @tool(title="Progress", effect=Effect.READ)
    async def test_tool_with_progress(self, call: CallContext, args: Nothing) -> Said:
        """Work in three steps."""

    @tool(title="Logging", effect=Effect.READ)
    async def test_logging_tool(self, call: CallContext, args: Nothing) -> Said:
        """Write to the log."""

    @tool(title="JSON Schema 2020-12", effect=Effect.READ)
    async def test_json_schema(self, call: CallContext, args: Reachable) -> Said:
        """Have a schema with every kind of keyword; the suite looks at it and never calls."""


class SuiteBackEnd:
    async def test_simple_text(self, *_unused: object) -> Said:
        return Said(text="a simple text")

    async def test_error_handling(self, *_unused: object) -> Said:
        raise Unavailable("this tool always fails")

    async def test_tool_with_progress(self, call: CallContext, *_unused: object) -> Said:
        for done in (0, 50, 100):
            await call.progress(done, 100, "working")
        return Said(text="worked")

    async def test_logging_tool(self, *_unused: object) -> Said:
        structlog.get_logger("remit.suite").warning("written_by_a_back_end")
        return Said(text="logged")


@dataclass(frozen=True)
class WithSuiteTools(BackEnds):
    """The shipped back ends and one for the area `test`."""

    test: SuiteBackEnd


def suite_tools() -> Catalog:
    """The suite's tools after the shipped ones."""
    *declared, schema = tools_of(SuiteTools)
    # No tool of the product may have digits in its name, so the declaration gets this one afterwards.
    return Catalog([*TOOLS, *declared, replace(schema, name="json_schema_2020_12_tool")])


@asynccontextmanager
async def serving_suite_tools(home: Path) -> AsyncIterator[str]:
    """Serve over HTTP until the block ends; gives the URL of the MCP endpoint."""
    catalog, listening = suite_tools(), socket.create_server((HOST, 0))
    port: int = listening.getsockname()[1]
    settings = Settings(home=home, policies=policy_folder(home / "policies", roles=ROLES, rules=RULES))
    async with open_gateway(Settings(home=home)) as shipped, anyio.create_task_group() as tasks:
        gateway = replace(
            shipped,
            catalog=catalog,
            policy=PolicySource(settings.policies, list(catalog.tools.values())),
            back_ends=WithSuiteTools(**vars(shipped.back_ends), test=SuiteBackEnd()),
        )
        app = build_http_app(gateway, build_server(gateway, CALLER), settings, HOST, port, verifier=None)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        # Clients may connect from the first moment on: they wait in the socket's queue.
        tasks.start_soon(server.serve, [listening])
        yield f"http://{HOST}:{port}/mcp"
        server.should_exit = True
