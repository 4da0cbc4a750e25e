"""`remit stop` and `remit resume`: the kill switch, in force in every process within a second."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connectors.registry import TOOLS
from gateway.app import open_stops
from gateway.cli.options import As, Home, Tenant, principal_named
from gateway.home import utc_now
from gateway.policy.language import patterns
from gateway.settings import Settings, load_settings
from gateway.stopping.book import NotStopped, StopBook
from gateway.stopping.stop import BadStop, Stop, What, lasting, named, reason
from gateway.visible_text import visible

app = typer.Typer(
    help="Stop a run, an agent, a person, tools, a tenant or everything, in every process within a second.",
    no_args_is_help=True,
)

T = TypeVar("T")
Why = Annotated[str, typer.Option(help="Why, for the record and for whoever is stopped.")]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="End by itself: `15m`, `2h`, `3d`.")]
_NAMES = {
    What.RUN: "A run, by its id.",
    What.AGENT: "Everything that an agent calls, for whomever.",
    What.PERSON: "Everything that is called by a person or for them.",
    What.TOOL: "A tool, or by a beginning and `*` several: `email_*`.",
    What.TOKEN: "Everything that comes with a token, by its name in the journal.",
    What.TENANT: "Everything that is called in a tenant.",
}


def _add(what: What, told: str) -> None:
    @app.command(what, help=told)
    def stop_one(
        name: Annotated[str, typer.Argument(help="Its name.")],
        why: Why,
        for_: For = None,
        as_: As = None,
        home: Home = None,
        tenant: Tenant = None,
    ) -> None:
        _stop(what, name, why, for_, load_settings(home=home, tenant=tenant, principal=as_))


for _what, _told in _NAMES.items():
    _add(_what, _told)


@app.command(What.EVERYTHING)
def stop_everything(why: Why, for_: For = None, as_: As = None, home: Home = None) -> None:
    """Every call of every tenant."""
    _stop(What.EVERYTHING, "", why, for_, load_settings(home=home, principal=as_))


@app.command("list")
def list_stops(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    home: Home = None,
) -> None:
    """List what is stopped, oldest first."""

    async def listed(book: StopBook, now: datetime) -> list[Stop]:
        return await book.in_force("*", now)

    found = _run(load_settings(home=home), listed)
    if as_json:
        for each in found:
            typer.echo(json.dumps(_told_of(each)))
        return
    table = Table("stop", "stopped", "tenant", "by", "since", "until", "why")
    for each in found:
        cells = (each.id, each.target.label, each.target.tenant, each.by)
        until = f"{each.until:%Y-%m-%d %H:%M:%S}" if each.until else ""
        table.add_row(*(escape(visible(cell)) for cell in (*cells, f"{each.since:%Y-%m-%d %H:%M:%S}", until, each.why)))
    Console().print(table if found else "nothing is stopped")


def resume(
    stop_id: Annotated[str, typer.Argument(metavar="ID", help="The stop's id, as `remit stop list` shows it.")],
    why: Annotated[str, typer.Option(help="Why, for the record.")],
    as_: As = None,
    home: Home = None,
) -> None:
    """Let go on what was stopped; whatever another stop covers too stays stopped."""
    settings = load_settings(home=home, principal=as_)
    person = _person(settings, "resuming")

    async def resumed(book: StopBook, now: datetime) -> Stop:
        return await book.resume(stop_id, "*", person, reason(why), now)

    try:
        found = _run(settings, resumed)
    except NotStopped as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(f"{found.id}: {found.target.label} is resumed by {person}")


def _stop(what: What, name: str, why: str, for_: str | None, settings: Settings) -> None:
    person = _person(settings, "stopping")

    async def stopped(book: StopBook, now: datetime) -> Stop:
        target = named(what, name, settings.tenant)
        return await book.stop(target, person, reason(why), now, now + lasting(for_) if for_ else None)

    # Whoever has to stop something at once is not held up by a name that may be another server's tool.
    if what is What.TOOL and (doubt := patterns.mistake(name, [tool.name for tool in TOOLS])):
        typer.echo(f"note: {doubt}", err=True)
    found = _run(settings, stopped)
    typer.echo(f"{found.id}: {found.target.label} is stopped; `remit resume {found.id}` ends it")


def _person(settings: Settings, purpose: str) -> str:
    who = principal_named(settings, purpose)
    if who.person is None or who.agent is not None:
        raise typer.BadParameter(f"{purpose} takes a person: give --as person:NAME")
    return who.person


def _run(settings: Settings, act: Callable[[StopBook, datetime], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with open_stops(settings) as book:
            return await act(book, utc_now())

    try:
        return asyncio.run(run())
    except BadStop as error:
        raise typer.BadParameter(str(error)) from None


def _told_of(stop: Stop) -> dict[str, str | None]:
    target = stop.target
    return {
        "stop": stop.id,
        "what": target.what,
        "name": target.name,
        "tenant": target.tenant,
        "by": stop.by,
        "since": stop.since.isoformat(),
        "until": stop.until.isoformat() if stop.until else None,
        "why": stop.why,
    }
