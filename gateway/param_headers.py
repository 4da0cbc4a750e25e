"""Arguments that an upstream server's tool wants mirrored into headers: the two must say the same."""

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import validate_mcp_param_headers
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from connectors.mcp_upstream.inputs import UpstreamInput
from gateway.catalog import UnknownTool
from gateway.gateway import Gateway, ToolCall


def refuse_other_headers(gateway: Gateway, context: ServerRequestContext[Any, Any], call: ToolCall) -> None:
    """Refuse a call whose `Mcp-Param-*` headers say something else than its arguments.

    What routes a call by its headers must not be told otherwise than who carries it out (MCP 2026-07-28, "Custom
    headers from tool parameters"). Of a tool that the caller does not have, nothing is said here: the SDK's own check
    knows no caller, and would tell that there is one.

    Raises:
        MCPError: If they differ.
    """
    tool = gateway.catalog.tools.get(call.tool)
    if context.request is None or context.protocol_version not in MODERN_PROTOCOL_VERSIONS or tool is None:
        return
    if not issubclass(tool.input, UpstreamInput):
        return
    try:
        gateway.catalog.find(gateway.policy.current, call.principal, call.tool, gateway.now())
    except UnknownTool:
        return
    differs = validate_mcp_param_headers(tool.input.original, call.arguments, context.request.headers)
    if differs is not None:
        raise MCPError(differs.code, differs.message)
