"""`remit journal verify` and `remit journal key`: is the record what was written, and all of it?"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, track

from gateway.cli.options import Home
from gateway.settings import Settings, load_settings
from gateway.visible_text import visible

if TYPE_CHECKING:
    from gateway.journal.checkpoint import Checkpoint
    from gateway.journal.note import PublicKey
    from gateway.journal.verify import Report


def show_key(home: Home = None) -> None:
    """Print the journal's public key. Keep it where the gateway's operator cannot change it."""
    typer.echo(str(_own_key(load_settings(home=home))))


def verify(
    file: Annotated[Path | None, typer.Argument(help="An export. [default: the home's own journal]")] = None,
    key: Annotated[
        str | None, typer.Option(help="The public key, or a file with it. [default: the home's own]")
    ] = None,
    checkpoints: Annotated[
        list[Path] | None, typer.Option(help="Published checkpoints kept elsewhere: a file or a folder; repeatable.")
    ] = None,
    home: Home = None,
) -> None:
    """Check every entry, their order and number, and name the first position that is wrong.

    Needs the export and the public key, and neither network nor database. What was cut off at the end shows against
    checkpoints that were kept elsewhere. Exit status: 0 good, 1 not.
    """
    from gateway.journal.note import BadNote

    settings = load_settings(home=home)
    public = _given_key(key) if key else _own_key(settings)
    places = [*(checkpoints or []), *_own_checkpoints(settings, file)]
    try:
        report = _report(settings, file, public, [one for place in places for one in _published(place, public)])
    except BadNote as error:
        typer.echo(f"not good: {visible(str(error))}", err=True)
        sys.exit(1)
    if report.finding:
        found = report.finding
        typer.echo(f"not good from position {found.position}: {found.problem}: {visible(found.detail)}", err=True)
        typer.echo(f"{report.entries} entries before it are good", err=True)
        sys.exit(1)
    typer.echo(f"{report.entries} entries are what was written, in order; {report.signed} of them are signed for")
    typer.echo(f"{report.checkpoints} checkpoints by {public.name} and {len(places)} other sources of them agree")
    if file is None:
        _verify_erasures(settings)


def _verify_erasures(settings: Settings) -> None:
    """Say whether everything that can no longer be read was erased on the record."""
    from gateway.erasing.erasure import erased_positions, erasures, lost

    with settings.open_database() as database:
        recorded = erasures(database)
        unrecorded = lost(database, recorded)
    if unrecorded:
        first, last = unrecorded[0]
        where = f"entry {first}" if first == last else f"entries {first} to {last}"
        more = f" and {len(unrecorded) - 1} more ranges" if len(unrecorded) > 1 else ""
        typer.echo(f"not good: nothing opens {where}{more}, and no record says that it was erased", err=True)
        sys.exit(1)
    tenants = {each.tenant for each in recorded}
    erased = sum(last - first + 1 for tenant in tenants for first, last in erased_positions(recorded, tenant))
    typer.echo(f"{erased} entries are erased, all of them on the record")


def _report(settings: Settings, file: Path | None, key: "PublicKey", published: "list[Checkpoint]") -> "Report":
    from gateway.journal.lines import from_lines
    from gateway.journal.snapshot import snapshot
    from gateway.journal.verify import check, check_file

    if file:
        return check_file(from_lines(_lines(file)), key, published)
    console = Console(stderr=True)
    with settings.open_database() as database, snapshot(database) as journal:
        shown = track(
            journal.items(),
            "verifying",
            sum(journal.count()),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        return check(shown, key, published)


def _lines(path: Path) -> Iterator[bytes]:
    console = Console(stderr=True)
    try:
        with (
            path.open("rb") as file,
            Progress(console=console, transient=True, disable=not console.is_terminal) as told,
        ):
            task = told.add_task("verifying", total=path.stat().st_size)
            for number, line in enumerate(file):
                if number % 10_000 == 0:
                    told.update(task, completed=file.tell())
                yield line
    except OSError as error:
        raise typer.BadParameter(f"`{path}` cannot be read: {error.strerror}") from None


def _own_checkpoints(settings: Settings, file: Path | None) -> list[Path]:
    return [settings.checkpoints] if file is None and settings.checkpoints.is_dir() else []


def _published(place: Path, key: "PublicKey") -> "Iterator[Checkpoint]":
    from gateway.journal.checkpoint import read_published

    try:
        yield from read_published(place, key)
    except OSError as error:
        raise typer.BadParameter(f"`{place}` cannot be read: {error.strerror}") from None


def _given_key(text: str) -> "PublicKey":
    from gateway.journal.note import BadKey, parse_public_key

    try:
        return parse_public_key(Path(text).read_text("utf-8") if Path(text).is_file() else text)
    except (BadKey, OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error)) from None


def _own_key(settings: Settings) -> "PublicKey":
    from gateway.journal.note import BadKey, load_signer

    try:
        return load_signer(settings.journal_key).public
    except FileNotFoundError:
        raise typer.BadParameter(f"there is no `{settings.journal_key}`: give --home, or --key to verify") from None
    except (BadKey, OSError) as error:
        raise typer.BadParameter(str(error)) from None
