"""`remit journal export`: the journal as a file, to be checked or read elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from gateway.cli.options import Home
from gateway.journal import JournalUnavailable
from gateway.settings import Settings, load_settings

_Item = TypeVar("_Item")


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"
    OCSF = "ocsf"


def export(
    format_: Annotated[
        Format, typer.Option("--format", help="jsonl can be verified; csv and ocsf are for reading.")
    ] = Format.JSONL,
    output: Annotated[Path | None, typer.Option(help="The file to write. [default: standard output]")] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="With what opens personal parts; without, jsonl shows none of them.")
    ] = False,
    home: Home = None,
) -> None:
    """Write the whole journal: jsonl ends with a fresh checkpoint and is what `remit journal verify FILE` checks.

    csv and ocsf show personal parts as far as they are not erased. What is erased later stays in what was exported
    with them before.
    """
    settings = load_settings(home=home)
    if with_keys and format_ is not Format.JSONL:
        raise typer.BadParameter("--with-keys goes with --format jsonl: the other formats show what keys open")
    lines = _jsonl(settings, with_keys) if format_ is Format.JSONL else _for_reading(settings, format_)
    if output is None:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise typer.BadParameter(f"`{output}` cannot be written: {error.strerror}") from None


def _jsonl(settings: Settings, with_keys: bool) -> Iterator[str]:
    from gateway.journal.lines import heading_of, to_lines
    from gateway.journal.note import BadKey, load_signer
    from gateway.journal.snapshot import snapshot

    size = _seal(settings)
    try:
        key = load_signer(settings.journal_key).public
    except (BadKey, OSError) as error:
        raise JournalUnavailable(f"the journal's key cannot be read: {error}") from error
    with settings.open_database() as database, snapshot(database, size) as journal:
        entries, checkpoints = journal.count()
        keys = journal.count_keys() if with_keys else None
        items = journal.items_with_keys() if with_keys else journal.items()
        shown = _shown(items, entries + checkpoints + (keys or 0))
        yield from to_lines(heading_of(key, entries, checkpoints, keys), shown)


def _seal(settings: Settings) -> int | None:
    """Make a checkpoint of all there is, and give its size; without one the export is of everything."""
    from gateway.app import journal_sealer
    from gateway.journal.sealing import CannotSeal

    with settings.open_database() as database:
        if not database.may_exist:
            raise JournalUnavailable(f"no journal can be read at `{database.label}`")
        try:
            newest = journal_sealer(settings, database).seal()
        except CannotSeal as error:
            typer.echo(f"no fresh checkpoint, so the export will not verify: {error}", err=True)
            return None
        return newest.size if newest else None


def _for_reading(settings: Settings, format_: Format) -> Iterator[str]:
    from gateway.journal.ocsf import to_ocsf
    from gateway.journal.snapshot import snapshot
    from gateway.journal.table import to_csv

    with settings.open_database() as database, snapshot(database) as journal:
        entries = _shown(journal.entries(), journal.count()[0])
        yield from to_csv(entries) if format_ is Format.CSV else to_ocsf(entries)


def _shown(items: Iterable[_Item], total: int) -> Iterator[_Item]:
    console = Console(stderr=True)
    yield from track(items, "exporting", total, console=console, transient=True, disable=not console.is_terminal)
