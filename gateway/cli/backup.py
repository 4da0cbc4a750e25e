"""`remit backup` and `remit restore`: everything of a home in one file, and back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskID

from gateway.backup.checking import Older
from gateway.backup.making import files_of_databases, make_backup
from gateway.backup.manifest import BadBackup
from gateway.backup.restoring import restore_backup
from gateway.cli.options import Home
from gateway.cli.progress import progress_bar
from gateway.home import utc_now
from gateway.settings import Settings, load_settings


def backup(file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.")], home: Home = None) -> None:
    """Write everything of a home into one file, beside a running gateway, and verify the journal in it.

    Keys and customers' data are in it, and it is not encrypted: only its owner may read it; encrypt it before it leaves
    the machine. On PostgreSQL it holds the home alone: make a `pg_dump` right after it.
    """
    settings = load_settings(home=home)
    with _mendable(), _progress() as told:
        made = make_backup(settings, file, utc_now(), told)
    what = "without a journal" if made.entries is None else f"{made.entries} entries of the journal, verified"
    typer.echo(f"`{file}`: {len(made.files)} files, {what}")
    typer.echo("it holds keys and data in the clear: keep it where only you can read it", err=True)
    for name in _on_servers(settings):
        typer.echo(f"not in it: {name}; now run `pg_dump --format=custom` on that database", err=True)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `remit backup` made.")],
    checkpoints: Annotated[
        list[Path] | None, typer.Option(help="Published checkpoints kept elsewhere: a file or a folder; repeatable.")
    ] = None,
    older: Annotated[
        bool, typer.Option("--older", help="Restore it although those checkpoints cover entries that it has not.")
    ] = False,
    home: Home = None,
) -> None:
    """Make a home from a backup, and verify its journal; what is there already is never overwritten."""
    target, elsewhere = load_settings(home=home).home, checkpoints or []
    for place in elsewhere:
        if not place.exists():
            raise typer.BadParameter(f"there is no `{place}`")
    with _mendable(), _progress() as told:
        made = restore_backup(file, target, [] if older else elsewhere, told)
    what = "without a journal" if made.entries is None else f"{made.entries} entries of the journal, verified"
    typer.echo(f"`{target}`: as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC, {what}")
    _tell_what_is_elsewhere(load_settings(home=target), target)


def _tell_what_is_elsewhere(settings: Settings, home: Path) -> None:
    used = {"policies": settings.policies, "upstreams": settings.upstreams_folder, **files_of_databases(settings)}
    for name, path in used.items():
        if (home / name).exists() and (home / name).resolve() != path.resolve():
            typer.echo(f"`{home / name}` is what was backed up; the settings name `{path}` instead of it", err=True)
    for name in _on_servers(settings):
        typer.echo(f"now `pg_restore` {name}, then run `remit journal verify` and `remit doctor`", err=True)


def _on_servers(settings: Settings) -> list[str]:
    """The databases that no file of the home holds."""
    with settings.open_database() as database:
        names = [database.label] if database.is_postgresql else []
    company = settings.company_database
    if company.get_backend_name() == "postgresql":
        names.append(f"postgresql://{company.host or ''}/{company.database}")
    return list(dict.fromkeys(names))


@contextmanager
def _mendable() -> Iterator[None]:
    try:
        yield
    except Older as error:
        typer.echo(f"{error}; find a newer backup, or give --older and expect that it cannot be proved", err=True)
        raise typer.Exit(1) from None
    except BadBackup as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    tasks: dict[str, TaskID] = {}
    with progress_bar("{task.description}", passing=True) as shown:

        def told(what: str, done: int, of: int) -> None:
            task = tasks.setdefault(what, TaskID(-1))
            if task == -1:
                task = tasks[what] = shown.add_task(what, total=of)
            shown.update(task, completed=done, total=of)

        yield told
