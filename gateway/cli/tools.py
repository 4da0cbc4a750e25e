"""`remit tools`: what a principal sees."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from connectors.registry import TOOLS
from gateway.app import utc_now
from gateway.catalog import Catalog
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.policy.load import load_policy
from gateway.server import described
from gateway.settings import load_settings


def show_tools(
    as_: As = None,
    as_json: Annotated[bool, typer.Option("--json", help="As `tools/list` gives it.")] = False,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Show the tools that a principal sees under the policy."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    principal = principal_named(settings, "the list")
    seen = Catalog(TOOLS).visible(load_policy(settings.policies, TOOLS), principal, utc_now())
    if as_json:
        listed = [described(tool).model_dump(mode="json", by_alias=True, exclude_none=True) for tool in seen]
        typer.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    table = Table("tool", "effect", "what it does", title=f"{len(seen)} of {len(TOOLS)} tools for {principal}")
    for tool in seen:
        table.add_row(tool.name, tool.effect, tool.description.splitlines()[0])
    Console().print(table)
