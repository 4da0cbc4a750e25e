"""`remit journal erase` and `remit journal retain`: personal data goes, that it was there and who did what stays."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import As, Home, Policies, Tenant, person_named
from gateway.cli.progress import progress_bar
from gateway.home import utc_now
from gateway.journal import JournalUnavailable
from gateway.policy.load import load_policy
from gateway.settings import Settings, load_settings
from gateway.upstream.catalogue import known_tools
from gateway.visible_text import visible

if TYPE_CHECKING:
    from gateway.erasing.mentions import Mentions

_MOST_NAMED = 10


def erase(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT…", help="Addresses, names, ids of records; in any case.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only what would be erased is shown.")] = False,
    as_: As = None,
    reason: Annotated[str, typer.Option(help="Why, for the record; name nobody whose data it is.")] = "",
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """Erase what every call that mentions one of the texts was about: arguments, notes, errors, kept answers.

    That there was a call, who made it, how it was decided, who approved it and which records it showed stays, and
    `remit journal verify` still passes. Exports that were made before and the back ends are not touched.
    """
    settings = load_settings(home=home, tenant=tenant, principal=as_)
    found = _found(settings, texts)
    for line in _told(found):
        typer.echo(line)
    if found.open:
        for call, missing in list(found.open.items())[:_MOST_NAMED]:
            typer.echo(f"not over yet: {call}: {missing}", err=True)
        typer.echo(f"nothing is erased before {len(found.open)} calls are over", err=True)
        sys.exit(1)
    if not found.entries:
        return
    if not yes:
        typer.echo('nothing is erased yet: add --yes --as person:NAME --reason "…"')
        return
    erased = asyncio.run(_erase(settings, found, texts, person_named(settings, "--yes"), _stated(reason, texts)))
    typer.echo(f"{erased} entries can no longer be read by anybody")


def retain(home: Home = None, policies: Policies = None) -> None:
    """Erase now what `retention.csv` lets the journal keep no longer, and finish what was recorded as erased."""
    settings = load_settings(home=home, policies=policies)
    policy = load_policy(settings.policies, known_tools(settings))

    async def run(progress: Callable[[int, int], None]) -> int:
        from gateway.app import open_to_erase
        from gateway.erasing.keeping import erase_what_is_due

        async with open_to_erase(settings) as (journal, database):
            return await erase_what_is_due(journal, database, policy, utc_now(), settings.still_needed, progress)

    _need_a_journal(settings)
    with _bar("looking through the journal") as progress:
        erased = asyncio.run(run(progress))
    typer.echo(f"{erased} entries can no longer be read by anybody")


def _found(settings: Settings, texts: list[str]) -> "Mentions":
    from gateway.erasing.mentions import find_mentions

    with settings.open_database() as database, _bar("looking through the journal") as progress:
        try:
            return find_mentions(database, settings.tenant, texts, utc_now(), progress)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


async def _erase(settings: Settings, found: "Mentions", texts: list[str], person: str, reason: str) -> int:
    from gateway.activity.recipients import Recipients
    from gateway.app import open_to_erase
    from gateway.erasing.erasure import Erasure, carry_out, erasures, record
    from gateway.secret import naming_secret

    async with open_to_erase(settings) as (journal, database):
        await record(journal, Erasure(settings.tenant, found.positions, person, reason), utc_now())
        Recipients(database, naming_secret(database)).forget(settings.tenant, texts)
        return carry_out(database, erasures(database))


def _told(found: "Mentions") -> Iterator[str]:
    yield f"{found.mentioning} entries mention it"
    if found.since and found.until:
        when = f"from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
        yield f"with all of the same calls and their approvals: {found.entries} entries of {found.calls} calls, {when}"


def _stated(reason: str, texts: list[str]) -> str:
    from gateway.erasing.mentions import normalised

    if not reason.strip():
        raise typer.BadParameter('give the --reason, such as --reason "request of 12 March, case 1017"')
    if any(normalised(text.strip()) in normalised(reason) for text in texts):
        raise typer.BadParameter("the --reason is kept for ever, so it must not hold what is to be erased")
    return visible(reason.strip())


def _need_a_journal(settings: Settings) -> None:
    with settings.open_database() as database:
        if not database.may_exist:
            raise JournalUnavailable(f"no journal can be read at `{database.label}`")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    with progress_bar(what, passing=True) as told:
        task = told.add_task("", total=None)
        yield lambda done, total: told.update(task, completed=done, total=total)
