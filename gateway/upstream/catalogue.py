"""The catalogue of a home: Remit's own tools and the accepted ones of its upstream servers, with nobody connected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connectors.contract import Tool
from connectors.mcp_upstream.declaration import BadUpstream, Server, read_servers
from connectors.mcp_upstream.schema import Unusable
from connectors.mcp_upstream.tools import UpstreamTool, make_tool, name_here
from connectors.registry import AREAS, TOOLS
from connectors.toml_files import line_of
from gateway.settings import Settings
from gateway.upstream.pins import Pin, read_pins


@dataclass(frozen=True)
class Pinned:
    """What a home's folder of upstream servers holds.

    Args:
        servers: The servers, in the order of their names.
        pins: What was said of each one's tools.
        tools: The tools that were accepted, by server and then by their names here.
        withheld: Why a tool that policy may name must not be called, whatever its server says now.
    """

    servers: tuple[Server, ...] = ()
    pins: Mapping[str, Mapping[str, Pin]] = field(default_factory=dict)
    tools: Mapping[str, Mapping[str, UpstreamTool]] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)

    @property
    def catalogue(self) -> tuple[Tool, ...]:
        """Remit's own tools, then those that were accepted."""
        accepted = (each.tool for tools in self.tools.values() for each in tools.values())
        return (*TOOLS, *accepted)


def read_pinned(folder: Path) -> Pinned:
    """Read the folder, which need not exist.

    Raises:
        BadUpstream: Names every problem.
    """
    servers = read_servers(folder, AREAS)
    pins = {server.name: read_pins(folder, server.name) for server in servers}
    taken, withheld, problems = {tool.name for tool in TOOLS}, dict[str, str](), list[str]()
    tools: dict[str, dict[str, UpstreamTool]] = {server.name: {} for server in servers}
    for server in servers:
        for name, pin in pins[server.name].items():
            definition = pin.accepted
            if definition is None:
                continue
            here = name_here(server, name)
            if here in taken:
                continue  # Whoever has the name keeps it.
            try:
                tools[server.name][here] = make_tool(server, definition)
            except Unusable as error:
                if name in server.tools:
                    path = folder / f"{server.name}.toml"
                    problems.append(f"{path}:{line_of(path.read_text('utf-8'), ['tools', name])}: `{name}`: {error}")
                continue
            taken.add(here)
            if pin.withheld:
                withheld[here] = "refused"
    if problems:
        raise BadUpstream("\n".join(problems))
    return Pinned(servers, pins, tools, withheld)


def known_tools(settings: Settings) -> Sequence[Tool]:
    """Every tool that a home's policy may speak of.

    Raises:
        BadUpstream: If its upstream servers' files cannot be used.
    """
    return read_pinned(settings.upstreams_folder).catalogue
