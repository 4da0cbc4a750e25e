"""`remit credentials`: what back ends show to the systems behind them, kept sealed and never shown again."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.app import open_credential_book
from gateway.cli.options import As, Home, Tenant, person_named
from gateway.credentials.book import CredentialBook, Listed
from gateway.credentials.keys import new_key
from gateway.credentials.kinds import BACK_END, Content, Place, in_order
from gateway.home import utc_now
from gateway.principal import Principal
from gateway.settings import Settings, load_settings
from gateway.visible_text import visible

app = typer.Typer(
    help="Keep what back ends show to the systems behind them: sealed, and never shown again.", no_args_is_help=True
)

T = TypeVar("T")
_MOST_SECRET = 16_384


class _Kind(StrEnum):
    TOKEN = "token"  # noqa: S105 - the name of a kind
    PASSWORD = "password"  # noqa: S105
    CLIENT = "client"
    REFRESH = "refresh"
    ASSERTION = "assertion"


_SECRETS = {
    _Kind.TOKEN: ("token",),
    _Kind.PASSWORD: ("password",),
    _Kind.CLIENT: ("client_secret",),
    _Kind.REFRESH: ("client_secret", "refresh_token"),
    _Kind.ASSERTION: ("private_key",),
}
BackEnd = Annotated[str, typer.Argument(metavar="BACKEND", help="For which back end: the name of an upstream server.")]
Person = Annotated[str | None, typer.Option(help="Whose own it is, such as an email address. [default: the tenant's]")]


@app.command("set")
def set_credential(
    back_end: BackEnd,
    kind: Annotated[_Kind, typer.Option(help="What it is.")] = _Kind.TOKEN,
    person: Person = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope that it has, or that is asked for; repeat it.")
    ] = None,
    expires: Annotated[datetime | None, typer.Option(help="When a token or password ends, in UTC.")] = None,
    user: Annotated[str | None, typer.Option(help="Of a password: the user.")] = None,
    token_url: Annotated[str | None, typer.Option(help="Of OAuth: the token endpoint.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Of OAuth: the gateway's name there.")] = None,
    client_auth: Annotated[str | None, typer.Option(help="Of OAuth: `basic` or `post`.")] = None,
    resource: Annotated[str | None, typer.Option(help="Of OAuth: for whom tokens are meant (RFC 8707).")] = None,
    subject: Annotated[str | None, typer.Option(help="Of an assertion: for which user of the system.")] = None,
    audience: Annotated[
        str | None, typer.Option(help="Of an assertion: to whom it is said. [default: the token endpoint]")
    ] = None,
    as_: As = None,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """Set a credential, or another in its place; running gateways show it within a second.

    Secrets are asked for, or read from standard input, one a line: of `refresh`, the client's secret (an empty line if
    it has none), then the refresh token; of `assertion`, the whole of a private key's PEM.
    """
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    place, by = _place(settings, back_end, person), person_named(settings, "a credential")
    facts = {"user": user, "token_url": token_url, "client_id": client_id, "client_auth": client_auth}
    facts |= {"subject": subject, "audience": audience}
    given: dict[str, Any] = {"kind": kind.value, **{name: value for name, value in facts.items() if value is not None}}
    given |= {"resource": resource} if resource else {}
    is_oauth = kind in (_Kind.CLIENT, _Kind.REFRESH, _Kind.ASSERTION)
    if is_oauth and expires:
        raise typer.BadParameter("`--expires` is for tokens and passwords: those of OAuth say it themselves")
    scopes = in_order(scope or ())
    given |= {"scopes": scopes} if is_oauth else {}
    given |= {name: value for name, value in _read_secrets(kind).items() if value}
    until = expires.replace(tzinfo=UTC) if expires and expires.tzinfo is None else expires
    try:
        own = None if is_oauth or scope is None else scopes
        content = Content.model_validate({"given": given, "scopes": own, "expires_at": until})
    except ValidationError as error:
        # Each names a field; none repeats what was given.
        told = [f"`{_option(each['loc'][-1])}`: {each['msg'].lower()}" for each in error.errors(include_input=False)]
        raise typer.BadParameter("; ".join(told)) from None

    async def put(book: CredentialBook) -> None:
        await book.set(place, content, by, utc_now())

    _run(settings, put)
    typer.echo(f"{visible(str(place))}: set by {visible(by)}")


@app.command("list")
def list_credentials(home: Home = None) -> None:
    """List credentials, never their secrets: kind, scopes, until when, last changed, last used."""
    found = _run(load_settings(home=home), lambda book: book.listed())
    table = Table("back end", "tenant", "person", "kind", "scopes", "until", "changed", "used", "state")
    for each in found:
        row, content = each.row, each.content
        scopes = " ".join(content.scopes) if content and content.scopes is not None else "?"
        cells = (row.place.back_end, row.place.tenant, row.place.person, row.kind, scopes)
        times = (content.expires_at if content else None, row.changed_at, row.used_at)
        shown = [f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times]
        table.add_row(*(escape(visible(cell)) for cell in (*cells, *shown, _state(each, utc_now()))))
    Console().print(table if found else "there is no credential")


@app.command("remove")
def remove_credential(
    back_end: BackEnd, person: Person = None, as_: As = None, home: Home = None, tenant: Tenant = None
) -> None:
    """Remove a credential; running gateways show it for a second at most."""
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    place, by = _place(settings, back_end, person), person_named(settings, "a credential")
    _run(settings, lambda book: book.remove(place, by, utc_now()))
    typer.echo(f"{visible(str(place))}: removed")


@app.command("rekey")
def rekey_credentials(as_: As = None, home: Home = None, tenant: Tenant = None) -> None:
    """Seal everything under the first key, beside running gateways; then the others can be taken away."""
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    by = person_named(settings, "a credential")
    count = _run(settings, lambda book: book.rekey(settings.tenant, by, utc_now))
    typer.echo(f"{count} sealed anew")


@app.command("key")
def show_new_key() -> None:
    """Print a new random key, for whatever place it is to be kept in."""
    typer.echo(new_key())


def _run(settings: Settings, act: Callable[[CredentialBook], Coroutine[Any, Any, T]]) -> T:
    async def acted() -> T:
        async with open_credential_book(settings) as book:
            return await act(book)

    return asyncio.run(acted())


def _place(settings: Settings, back_end: str, person: str | None) -> Place:
    if not BACK_END.fullmatch(back_end):
        raise typer.BadParameter(f"`{visible(back_end)[:60]}` is no back end's name: a-z, 0-9 and _")
    try:
        Principal(settings.tenant, person or "nobody")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return Place(settings.tenant, back_end, person or "")


def _read_secrets(kind: _Kind) -> dict[str, str]:
    names = _SECRETS[kind]
    if kind is _Kind.ASSERTION and not sys.stdin.isatty():
        return {"private_key": sys.stdin.read(_MOST_SECRET + 1)}
    if kind is _Kind.ASSERTION:
        raise typer.BadParameter("a private key has several lines: give its file on standard input, `< key.pem`")
    if sys.stdin.isatty():
        return {
            name: typer.prompt(name.replace("_", " "), default="", hide_input=True, show_default=False, err=True)
            for name in names
        }
    lines = sys.stdin.read(len(names) * _MOST_SECRET + 1).split("\n")
    if [line for line in lines[len(names) :] if line] or len(lines) < len(names):
        raise typer.BadParameter(f"standard input must have {len(names)} lines: {', '.join(names)}")
    return {name: line.removesuffix("\r") for name, line in zip(names, lines, strict=False)}


def _option(name: object) -> str:
    told = str(name)
    return (
        told if told in {secret for names in _SECRETS.values() for secret in names} else f"--{told.replace('_', '-')}"
    )


def _state(each: Listed, now: datetime) -> str:
    if each.content is None:
        return f"cannot be opened: {each.closed}"
    if each.row.trouble:
        return f"not renewed: {each.row.trouble}"
    if not each.content.is_renewed and not each.content.is_good(now):
        return "expired"
    return "good"
