"""`remit upstream`: look at what upstream MCP servers define, and accept or refuse it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from secrets import token_hex
from typing import Annotated

import anyio
import typer

from connectors.contract import Tool
from connectors.mcp_upstream.declaration import Server
from connectors.mcp_upstream.definition import Definition
from connectors.mcp_upstream.tools import name_here
from connectors.registry import TOOLS
from gateway.app import open_credentials, open_to_erase
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.home import utc_now
from gateway.journal import Entry, Kind
from gateway.policy.load import load_policy
from gateway.policy.problem import PolicyError, suggest
from gateway.principal import Principal
from gateway.settings import Settings, load_settings
from gateway.upstream.catalogue import Pinned, read_pinned
from gateway.upstream.comparing import difference, widenings
from gateway.upstream.findings import findings
from gateway.upstream.pins import Pin, accept, read_pins, refuse, write_pins
from gateway.visible_text import visible

app = typer.Typer(help="Look at what upstream MCP servers define, and accept or refuse it.", no_args_is_help=True)

_PATIENCE_SECONDS = 60
ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="The name of its file.")]
ToolNames = Annotated[list[str] | None, typer.Argument(metavar="TOOL…", help="The server's own names.")]


@app.command()
def review(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="Only this one.")] = None, home: Home = None
) -> None:
    """Connect to the servers and show every definition that is new, changed or gone, with what is suspicious about it.

    Exit status: 0 if nothing waits, 1 if something does.
    """
    pinned = read_pinned(load_settings(home=home).upstreams_folder)
    waits = False
    for each in _servers(pinned, server):
        for line, counts in _review(pinned, each, asyncio.run(_defined(load_settings(home=home), each))):
            typer.echo(line)
            waits = waits or counts
    raise typer.Exit(waits)


@app.command("accept")
def accept_tools(
    server: ServerName,
    tools: ToolNames = None,
    as_: As = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Accept what a server defines now, on the record; without names, everything about which nothing is suspicious."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    _say(settings, server, tools or [], approved=True)
    try:
        load_policy(settings.policies, read_pinned(settings.upstreams_folder).catalogue)
    except PolicyError as error:
        typer.echo(f"policy does not go with the new catalogue, so a running gateway keeps the previous one:\n{error}")


@app.command("refuse")
def refuse_tools(
    server: ServerName, tools: ToolNames = None, as_: As = None, home: Home = None, tenant: Tenant = None
) -> None:
    """Refuse what a server defines now, on the record. What was accepted before is withheld."""
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    if not tools:
        raise typer.BadParameter("name the tools to refuse, as `remit upstream review` shows them")
    _say(settings, server, tools, approved=False)


def _servers(pinned: Pinned, name: str | None) -> Sequence[Server]:
    found = [server for server in pinned.servers if name in (None, server.name)]
    if not found:
        names = [server.name for server in pinned.servers]
        raise typer.BadParameter(f"there is no upstream server `{name}`{suggest(name or '', names)}")
    return found


async def _defined(settings: Settings, server: Server) -> dict[str, Definition]:
    from connectors.mcp_upstream.client import connected  # heavy, and only wanted here
    from connectors.mcp_upstream.showing import showing

    found: dict[str, Definition] | None = None
    try:
        with anyio.fail_after(_PATIENCE_SECONDS), open_credentials(settings) as credentials:
            shown = showing(server, credentials, server.looks_as)
            async with connected(server, lambda: None, shown) as connection:
                found = {each.name: each for each in await connection.definitions()}
    except Exception as error:
        # What goes wrong in taking leave takes nothing back.
        if found is None:
            raise typer.BadParameter(f"`{server.name}` cannot be reached: {_reason(error)}") from error
    return found


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return visible(f"{type(error).__name__}: {error}")[:300]


def _others(pinned: Pinned, server: Server) -> Mapping[str, Sequence[Tool]]:
    others = {f"`{name}`": [each.tool for each in tools.values()] for name, tools in pinned.tools.items()}
    others.pop(f"`{server.name}`", None)
    return {"Remit": TOOLS, **others}


def _review(pinned: Pinned, server: Server, defined: Mapping[str, Definition]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it means that something waits."""
    pins = pinned.pins.get(server.name, {})
    yield f"{server.name}: {len(defined)} definitions", False
    for name, definition in defined.items():
        pin = pins.get(name)
        if pin is not None and (pin.hash == definition.hash or definition.hash in pin.refused):
            state = "refused" if definition.hash in pin.refused else f"accepted by {visible(pin.by)}"
            yield f"  {visible(name)}: {state}, {definition.hash[:12]}", False
            continue
        accepted = pin.accepted if pin else None
        state = "CHANGED since it was accepted" if accepted else "NEW"
        yield f"  {visible(name)} (here `{name_here(server, name)}`): {state}, {definition.hash[:12]}", True
        for finding in findings(server, definition, _others(pinned, server)):
            mark = "cannot be accepted" if finding.forbids else "look out"
            yield f"    {mark}: {visible(finding.where)}: {visible(finding.what)}", True
        for wider in widenings(accepted, definition) if accepted else ():
            yield f"    look out: {visible(wider)}", True
        for line in difference(accepted, definition):
            yield f"    {line}", True
    for name, pin in pins.items():
        if name not in defined and pin.definition is not None:
            yield f"  {visible(name)}: GONE, the server defines it no longer", True


def _say(settings: Settings, name: str, wanted: Sequence[str], *, approved: bool) -> None:
    who = principal_named(settings, "a review")
    if who.person is None or who.agent is not None:
        raise typer.BadParameter("a person answers for it: --as person:NAME")
    folder = settings.upstreams_folder
    pinned = read_pinned(folder)
    [server] = _servers(pinned, name)
    chosen = list(_chosen(pinned, server, asyncio.run(_defined(settings, server)), wanted, approved=approved))
    # First on the record, then in force: what is accepted without a record never is.
    asyncio.run(_record(settings, who, server, chosen, approved=approved))
    pins: dict[str, Pin] = dict(read_pins(folder, name))
    for each in chosen:
        said = accept if approved else refuse
        pins[each.name] = said(pins.get(each.name), each, who.person, utc_now())
        typer.echo(f"{visible(each.name)}: {'accepted' if approved else 'refused'}, {each.hash[:12]}")
    write_pins(folder, name, pins)


def _chosen(
    pinned: Pinned, server: Server, defined: Mapping[str, Definition], wanted: Sequence[str], *, approved: bool
) -> Iterator[Definition]:
    if unknown := [name for name in wanted if name not in defined]:
        hint = suggest(unknown[0], defined)
        raise typer.BadParameter(f"`{server.name}` does not define `{visible(unknown[0])}`{hint}")
    pins = pinned.pins.get(server.name, {})
    for name in wanted or list(defined):
        definition = defined[name]
        found = findings(server, definition, _others(pinned, server)) if approved else ()
        accepted = pins[name].accepted if name in pins else None
        if accepted is not None and approved:
            suspicious = bool(found) or bool(widenings(accepted, definition))
        else:
            suspicious = bool(found)
        if any(finding.forbids for finding in found):
            told = next(finding.what for finding in found if finding.forbids)
            typer.echo(f"{visible(name)}: cannot be accepted: {visible(told)}", err=True)
        elif suspicious and not wanted:
            typer.echo(f"{visible(name)}: not accepted: look at it with `review`, then name it", err=True)
        elif not (approved and name in pins and pins[name].hash == definition.hash and not pins[name].withheld):
            yield definition


async def _record(
    settings: Settings, who: Principal, server: Server, chosen: Sequence[Definition], *, approved: bool
) -> None:
    async with open_to_erase(settings) as (journal, _database):
        for each in chosen:
            body = {"tool": name_here(server, each.name), "person": who.person, "by": who.person}
            said = {**body, "approved": approved, "schema_hash": each.hash}
            name = f"ups_{token_hex(12)}"
            await journal.append(Entry(name, who.tenant, str(who), utc_now(), Kind.REVIEWED, said))
