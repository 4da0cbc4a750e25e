"""`remit serve`: run the gateway over HTTP or stdio. Heavy packages are imported only when it does."""

import asyncio
from typing import Annotated

import typer

from gateway.app import open_gateway
from gateway.cli.options import As, Home, Policies, Tenant, host_and_port, principal_named
from gateway.cli.serving import Serving, announce, serve_alone, serve_with_workers
from gateway.cli.starting import importing_much
from gateway.home import utc_now
from gateway.logs import log_to_stderr
from gateway.policy.files.identity import FILE as IDENTITY
from gateway.settings import Settings, is_loopback, load_settings
from gateway.tokens import Audience, Token, Tokens


def serve(
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Serve streamable HTTP at /mcp.")] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Serve one client over standard input and output.")] = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="HTTP without tokens, on a loopback address only; needs --as.")
    ] = False,
    grant: Annotated[
        str,
        typer.Option(envvar="REMIT_GRANT", help="With --stdio: a token from `remit grant` that every call is under."),
    ] = "",
    workers: Annotated[int, typer.Option(min=1, max=64, help="With --http: how many processes serve the address.")] = 1,
    as_: As = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Run the gateway over HTTP or stdio.

    Over HTTP callers show a bearer token made with `remit token create`. Over stdio the caller is the principal that
    you name with `--as`, `REMIT_PRINCIPAL` or `principal` in `HOME/remit.toml`.
    """
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    if stdio == bool(http):
        raise typer.BadParameter("choose one: --http HOST:PORT or --stdio")
    if http and grant:
        raise typer.BadParameter("--grant goes with --stdio; over HTTP a caller sends its grant with each call")
    if stdio and workers > 1:
        raise typer.BadParameter("--workers goes with --http; over stdio there is one client")
    log_to_stderr(settings.log_level, settings.log_form)
    if http:
        host, port = host_and_port(http)
        _refuse_open_door(settings, host, no_auth)
        serving = Serving(settings.served_at(host, port), host, port, no_auth)
        serve_alone(serving) if workers == 1 else serve_with_workers(serving, workers)
    else:
        asyncio.run(_serve_stdio(settings, grant))


def _refuse_open_door(settings: Settings, host: str, no_auth: bool) -> None:
    if no_auth and not is_loopback(host):
        raise typer.BadParameter(f"--no-auth works on a loopback address only, and `{host}` is not one")
    if no_auth:
        principal_named(settings, "--no-auth")
    elif not _has_token(settings) and not (settings.policies / IDENTITY).exists():
        raise typer.BadParameter(
            "no token is in force, so nobody could call: make one with `remit token create`, write `identity.toml`, "
            "or on a loopback address pass --no-auth and --as"
        )


def _has_token(settings: Settings) -> bool:
    with settings.open_database() as database:
        return database.may_exist and any(map(_lets_call, Tokens(database).all()))


def _lets_call(token: Token) -> bool:
    return token.audience is Audience.MCP and token.good_at(utc_now())


async def _serve_stdio(settings: Settings, grant: str) -> None:
    with importing_much():
        from mcp.server.stdio import stdio_server

        from gateway.background import background
        from gateway.leaving import leaving_when_told
        from gateway.server import build_server

    named = principal_named(settings, "--stdio")
    async with (
        open_gateway(settings) as gateway,
        background(gateway, settings),
        leaving_when_told(gateway, settings),
    ):
        announce(gateway, "stdio", str(named))
        server = build_server(gateway, named, grant)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
