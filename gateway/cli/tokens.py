"""`remit token`: make, list and revoke bearer tokens."""

from datetime import timedelta
from typing import Annotated

import typer

from gateway.cli.options import Home, OneTenant, Tenant, whose
from gateway.home import make_home, utc_now
from gateway.principal import Principal
from gateway.settings import load_settings
from gateway.tokens import Audience, Tokens

app = typer.Typer(help="Make, list and revoke the bearer tokens of HTTP callers.", no_args_is_help=True)


@app.command()
def create(
    person: Annotated[str | None, typer.Option(help="The person behind the calls, such as an email address.")] = None,
    agent: Annotated[str | None, typer.Option(help="The agent that calls, on its own or for the person.")] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the token is good.")] = 30,
    console: Annotated[
        bool, typer.Option("--console", help="For a person's sign-in to the console, and for nothing else.")
    ] = False,
    may_grant: Annotated[
        bool, typer.Option("--may-grant", help="To issue grants for this caller, and for nothing else.")
    ] = False,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """Make a token and print it once, alone on standard output; only its hash is kept."""
    settings = load_settings(home=home, tenant=tenant)
    if person is None and agent is None:
        raise typer.BadParameter("name who calls: --person, --agent or both")
    if console and may_grant:
        raise typer.BadParameter("a token opens one thing: --console or --may-grant")
    now = utc_now()
    audience = Audience.CONSOLE if console else Audience.GRANTS if may_grant else Audience.MCP
    try:
        principal = Principal(settings.tenant, person, agent)
        make_home(settings)
        with settings.open_database() as database:
            secret, token = Tokens(database).create(principal, now, now + timedelta(days=days), audience)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    where = {Audience.CONSOLE: " at the console", Audience.GRANTS: " to issue grants"}.get(audience, "")
    typer.echo(f"{token.id} for {principal}{where}, until {token.expires_at:%Y-%m-%d}. It is shown only now:", err=True)
    typer.echo(secret)


@app.command("list")
def list_tokens(home: Home = None, tenant: OneTenant = None) -> None:
    """List tokens: id, who, until when, and whether in force."""
    with load_settings(home=home).open_database() as database:
        tokens = Tokens(database).all(whose(tenant))
    for token in tokens:
        state = "revoked" if token.revoked_at else "in force" if token.good_at(utc_now()) else "expired"
        typer.echo(f"{token.id}  {state:8}  {token.audience:7}  until {token.expires_at:%Y-%m-%d}  {token.principal}")


@app.command()
def revoke(token_id: str, home: Home = None) -> None:
    """Revoke a token by its id; a running gateway refuses it within five seconds."""
    with load_settings(home=home).open_database() as database:
        revoked = Tokens(database).revoke(token_id, utc_now())
    if not revoked:
        raise typer.BadParameter(f"no token `{token_id}` is in force; `remit token list` shows them")
    typer.echo(f"{token_id} is revoked")
