"""`remit grant`: narrow what an assistant or agent may do for one task, and take that back."""

import asyncio
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

import typer
from pydantic import ValidationError

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.app import open_grants
from gateway.cli.options import As, Home, Tenant, principal_named
from gateway.grants.book import Issued, UnfitTerms
from gateway.grants.grant import ByRecord, Terms, Value
from gateway.home import utc_now
from gateway.principal import Principal
from gateway.settings import Settings, load_settings

app = typer.Typer(
    help="Grant one task what it needs, and nothing more.", invoke_without_command=True, add_completion=False
)
_BY = "command line"


@app.callback()
def grant(
    context: typer.Context,
    as_: As = None,
    request: Annotated[str, typer.Option(help="The task in the person's own words.")] = "",
    tool: Annotated[
        list[str] | None, typer.Option(help="A tool that may be called, or a beginning followed by *. [default: all]")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="TOOL=N", help="How often at most a tool may be called.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="TOOL.ARGUMENT=VALUE", help="The value that an argument must have.")
    ] = None,
    value: Annotated[list[str] | None, typer.Option(help="A value that counts as part of the request.")] = None,
    follow: Annotated[list[str] | None, typer.Option(help="Id of a record whose text the task may follow.")] = None,
    ttl: Annotated[float | None, typer.Option(min=1, max=86_400, help="Seconds it lasts. [default: an hour]")] = None,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """Issue a grant for a caller and print its token, alone on standard output.

    The caller sends it in `_meta` of each call as `remit/grant`. It can only narrow what policy allows.
    """
    if context.invoked_subcommand:
        return
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    principal = principal_named(settings, "a grant")
    terms = _terms(request, tool, limit or (), target or (), value or (), follow or ())
    try:
        issued = asyncio.run(_issue(settings, principal, terms, ttl))
    except UnfitTerms as error:
        raise typer.BadParameter(f"{error.field}: {error.message}") from None
    made = issued.grant
    typer.echo(
        f"{made.id} for {principal}, until {made.expires_at:%Y-%m-%d %H:%M} UTC. It is shown only now:", err=True
    )
    typer.echo(issued.token)


@app.command()
def revoke(grant_id: str, home: Home = None) -> None:
    """Take a grant back by its id; within a second no gateway takes it any more."""

    async def run() -> bool:
        async with open_grants(load_settings(home=home)) as grants:
            return await grants.revoke(EVERY_TENANT, grant_id, utc_now(), _BY)

    if not asyncio.run(run()):
        raise typer.BadParameter(f"no grant `{grant_id}` is in force; `remit journal list` shows them as `granted`")
    typer.echo(f"{grant_id} is taken back")


async def _issue(settings: Settings, principal: Principal, terms: Terms, ttl: float | None) -> Issued:
    async with open_grants(settings) as grants:
        lasting = None if ttl is None else timedelta(seconds=ttl)
        return await grants.issue(principal, terms, utc_now(), _BY, lasting)


def _terms(
    request: str,
    tools: list[str] | None,
    limits: Iterable[str],
    targets: Iterable[str],
    values: Iterable[str],
    follow: Iterable[str],
) -> Terms:
    wanted: dict[str, dict[str, tuple[Value, ...]]] = {}
    for each in targets:
        path, value = _parted(each, "=", "TOOL.ARGUMENT=VALUE")
        tool, argument = _parted(path, ".", "TOOL.ARGUMENT=VALUE")
        known = wanted.setdefault(tool, {})
        known[argument] = (*known.get(argument, ()), _value(value))
    try:
        return Terms(
            request=request,
            tools=None if tools is None else tuple(tools),
            limits=dict(_limit(each) for each in limits),
            targets=wanted,
            values=tuple(values),
            delegates=tuple(ByRecord(record=record) for record in follow),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}") from None


def _parted(text: str, at: str, form: str) -> tuple[str, str]:
    before, found, after = text.partition(at)
    if not found or not before or not after:
        raise typer.BadParameter(f"`{text}` is not {form}")
    return before, after


def _value(text: str) -> Value:
    """A value as lists of policy have it: plain digits are a number, all else a text, in single quotes if need be."""
    if len(text) > 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if text in {"true", "false"}:
        return text == "true"
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", text):
        return text
    return float(text) if "." in text else int(text)


def _limit(text: str) -> tuple[str, int]:
    pattern, most = _parted(text, "=", "TOOL=N")
    if not most.isdecimal():
        raise typer.BadParameter(f"`{text}` is not TOOL=N, such as `email_send_message=1`")
    return pattern, int(most)
