"""`remit connect`: have another system serve a tenant's tools, asked for step by step and tried before it counts."""

import asyncio
import json
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.table import Table

from connectors.contract import CallContext
from connectors.declared import KINDS, read_declared
from connectors.embedded.database import Database
from connectors.errors import ConnectorError
from connectors.toml_files import BadFile, near
from connectors.vendor.kinds import Declared, Kind, Surroundings
from gateway.app import open_credential_book, open_credentials
from gateway.cli.options import As, Home, Tenant, person_named
from gateway.credentials.consent import NotConsented, consented
from gateway.credentials.kinds import Content, Place
from gateway.home import make_home, utc_now
from gateway.settings import Settings, load_settings
from gateway.visible_text import visible

_PATIENCE_SECONDS = 30.0
_OWN = {"tenant", "kind"}


def connect(
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help="Which kind of system. [default: list all]")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="What is known already; repeat it.")
    ] = None,
    consent: Annotated[bool, typer.Option("--consent", help="Have a person consent in the browser first.")] = False,
    client_id: Annotated[str, typer.Option(help="With --consent: the gateway's name at the vendor.")] = "",
    as_: As = None,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """Have another system serve a tenant's tools: asks for what it needs, tries it, and writes it down.

    What it is shown is set by `remit credentials set`, or got by `--consent` where the vendor offers that; the client's
    secret is then asked for, or read from standard input. Nothing is written unless the system answers.
    """
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    if not kind:
        _list()
        return
    found = _kind(kind)
    declared = _declared(found, settings.tenant, _given(set_ or []))
    _refuse_second(settings, found)
    make_home(settings)
    if consent:
        _consent(settings, found, declared, client_id)
    told = asyncio.run(_tried(settings, found, declared))
    _write(settings.back_ends_file, declared)
    typer.echo(visible(told))
    typer.echo(f"`{settings.back_ends_file}`: {found.name} serves the {found.area} tools of {settings.tenant}")
    typer.echo("gateways that run have it after a restart")


def _list() -> None:
    table = Table("kind", "serves", "needs", "is shown")
    for kind in KINDS:
        fields = {name: field.is_required() for name, field in kind.declared.model_fields.items() if name not in _OWN}
        needs = ", ".join(name for name, must in fields.items() if must)
        table.add_row(kind.name, kind.area, needs, " or ".join(kind.shows))
    Console().print(table)


def _kind(name: str) -> Kind:
    kinds = {kind.name: kind for kind in KINDS}
    if name not in kinds:
        raise typer.BadParameter(f"`{visible(name)[:60]}` is no kind of system{near(name, kinds)}")
    return kinds[name]


def _given(texts: list[str]) -> dict[str, Any]:
    """What was given by option: text, or what TOML takes for a value."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"`{visible(text)[:60]}` is not NAME=VALUE, such as `url=https://desk.example`")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def _declared(kind: Kind, tenant: str, given: dict[str, Any]) -> Declared:
    own = {"tenant": tenant, "kind": kind.name}
    for name, field in kind.declared.model_fields.items():
        if name not in {*given, *own} and field.is_required() and sys.stdin.isatty():
            given[name] = typer.prompt(f"{name}{f' ({field.description})' if field.description else ''}", err=True)
    try:
        return kind.declared.model_validate_json(json.dumps({**given, **own}, default=str))
    except ValidationError as error:
        problems = error.errors(include_input=False)
        told = [f"`{'.'.join(map(str, each['loc']))}`: {_problem(each, kind)}" for each in problems]
        raise typer.BadParameter("; ".join(told) + "; give each as `--set NAME=VALUE`") from None


def _problem(error: Any, kind: Kind) -> str:  # noqa: ANN401 - pydantic's own kind of dictionary
    if error["type"] == "extra_forbidden":
        return f"unknown{near(str(error['loc'][-1]), kind.declared.model_fields)}"
    return str(error["msg"]).removeprefix("Value error, ").lower()


def _refuse_second(settings: Settings, kind: Kind) -> None:
    areas = {each.name: each.area for each in KINDS}
    for each in read_declared(settings.back_ends_file):
        if (each.tenant, areas[each.kind]) == (settings.tenant, kind.area):
            raise typer.BadParameter(
                f"{each.kind} serves the {kind.area} tools of {settings.tenant} already: take it out of "
                f"`{settings.back_ends_file}` first"
            )


def _consent(settings: Settings, kind: Kind, declared: Declared, client_id: str) -> None:
    if kind.consent is None:
        raise typer.BadParameter(f"{kind.name} has nobody consent: `remit credentials set {declared.shown}`")
    if not client_id:
        raise typer.BadParameter("--consent needs --client-id: the name that the vendor gave to the gateway")
    by = person_named(settings, "a credential")
    secret = (
        typer.prompt("client secret", default="", hide_input=True, show_default=False, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().strip()
    )
    where = kind.consent(declared)

    async def got() -> None:
        given = await consented(
            where,
            client_id,
            SecretStr(secret) if secret else None,
            kind.scopes,
            lambda url: typer.echo(f"open this page and consent:\n\n{url}\n"),
        )
        async with open_credential_book(settings) as book:
            place = Place(settings.tenant, declared.shown, "")
            await book.set(place, Content(given=given), by, utc_now())

    try:
        asyncio.run(got())
    except NotConsented as error:
        raise typer.BadParameter(str(error)) from None


async def _tried(settings: Settings, kind: Kind, declared: Declared) -> str:
    """What the system says of itself."""
    call = CallContext(declared.tenant, "remit", "look", utc_now())
    with open_credentials(settings) as credentials, closing(Database(settings.company_database)) as company:
        back_end = kind.make(declared, Surroundings(credentials, company))
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                return await back_end.look(call)
        except TimeoutError:
            raise typer.BadParameter(f"no answer within {_PATIENCE_SECONDS:g} s; nothing was written") from None
        except ConnectorError as error:
            raise typer.BadParameter(f"{visible(error.message)}; nothing was written") from None
        finally:
            await back_end.close()


def _write(path: Path, declared: Declared) -> None:
    """Put it at the end of the file, which is read again as a whole before it counts."""
    given = declared.model_dump(mode="json", exclude_defaults=True)
    lines = [f"{name} = {_toml(value)}" for name, value in given.items() if name not in _OWN]
    before = path.read_text("utf-8") if path.exists() else ""
    names = [f"tenant = {_toml(declared.tenant)}", f"kind = {_toml(declared.kind)}"]
    text = "\n".join([*([before.rstrip("\n"), ""] if before else []), "[[back_end]]", *names, *lines, ""])
    beside = path.with_suffix(".toml.new")
    beside.write_text(text, "utf-8")
    try:
        read_declared(beside)
    except BadFile:
        beside.unlink()
        raise
    beside.replace(path)


def _toml(value: Any) -> str:  # noqa: ANN401 - JSON data
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
