"""`remit doubts`: see which calls are in doubt, and say what happened."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.app import open_doubts
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.doubts import NotSettled
from gateway.earlier import Earlier
from gateway.home import utc_now
from gateway.policy.load import load_policy
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools
from gateway.visible_text import visible

app = typer.Typer(
    help="See which calls nobody knows the outcome of, and settle them for whoever repeats them.", no_args_is_help=True
)


@app.command("list")
def list_doubts(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """List the calls in doubt, oldest first."""
    settings = load_settings(home=home, tenant=tenant)

    async def run() -> list[Earlier]:
        async with open_doubts(settings) as doubts:
            return await doubts.open(settings.tenant)

    found = [(earlier, earlier.begun) for earlier in asyncio.run(run()) if earlier.begun]
    if as_json:
        for earlier, begun in found:
            told = {"call": earlier.name, "at": begun.at.isoformat(), "tool": earlier.tool, "who": begun.principal}
            typer.echo(json.dumps({**told, "arguments": earlier.arguments}))
        return
    table = Table("call", "begun", "who", "tool", "arguments")
    for earlier, begun in found:
        # ASCII: a homoglyph or a mark that turns text around shows as what it is.
        cells = (f"{begun.at:%Y-%m-%d %H:%M:%S}", begun.principal, earlier.tool, json.dumps(earlier.arguments))
        table.add_row(earlier.name, *(escape(visible(cell)) for cell in cells))
    Console().print(table if found else "no call is in doubt")


@app.command()
def settle(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="The call's id, as `remit doubts list` shows it.")],
    happened: Annotated[str, typer.Option(metavar="yes|no", help="Did it take effect?")],
    note: Annotated[str, typer.Option(help="How you found out, for the record.")],
    as_: As = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Say whether a call in doubt took effect. It is never done again; whoever repeats it hears what you say."""
    if happened not in {"yes", "no"}:
        raise typer.BadParameter(f"--happened takes yes or no, not `{happened}`")
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    who = principal_named(settings, "settling a doubt")

    async def run() -> None:
        policy = load_policy(settings.policies, known_tools(settings))
        async with open_doubts(settings) as doubts:
            await doubts.settle(call_id, who, policy, happened == "yes", note, utc_now())

    try:
        asyncio.run(run())
    except NotSettled as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(f"{call_id}: {'it happened' if happened == 'yes' else 'it did not happen'}, says {who.person}")
