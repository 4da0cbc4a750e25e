"""Makes a backup of a home: one file with all that another machine needs to go on from there."""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from shutil import copyfile, copytree
from tempfile import TemporaryDirectory

from gateway.backup.checking import checked
from gateway.backup.copying import copy_at_one_moment
from gateway.backup.manifest import COMPANY, CONFIG, JOURNAL, KEY, NAME, BadBackup, Manifest, digest_of
from gateway.settings import CONFIG_FILE, Settings

Told = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""


def make_backup(settings: Settings, file: Path, now: datetime, told: Told) -> Manifest:
    """Make a backup, beside a running gateway or without one, and check the journal in it.

    Args:
        settings: Whose home.
        file: The file to make, for its owner alone; what is there already is not touched.
        now: The time.
        told: Hears how far it is.

    Raises:
        BadBackup: If it cannot be made; then there is no file.
    """
    if not settings.journal_key.exists():
        raise BadBackup(f"`{settings.home}` holds no journal key, so nothing was served from it: is --home right?")
    try:
        with _new_file(file) as partial, TemporaryDirectory(prefix=".remit-", dir=file.parent) as folder:
            manifest = _gathered(settings, Path(folder), now, told)
            _write(partial, Path(folder), manifest, told)
    except OSError as error:
        raise BadBackup(f"the backup cannot be written: {error}") from error
    return manifest


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A file that gets its name once all of it is on the disk."""
    if file.exists():
        raise BadBackup(f"`{file}` is there already: give another name")
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield partial
        _name(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _name(partial: Path, file: Path) -> None:
    try:
        os.link(partial, file)  # Unlike a rename it takes nobody's place.
    except FileExistsError:
        raise BadBackup(f"`{file}` came to be there meanwhile: give another name") from None
    except OSError:
        # Not every disk has links.
        partial.rename(file)


def _gathered(settings: Settings, folder: Path, now: datetime, told: Told) -> Manifest:
    # Checkpoints first: none of them may speak of entries that the copied journal has not.
    for name, source in _folders(settings).items():
        if source.is_dir():
            copytree(source, folder / name, ignore=_passing)
    for name, source in ((KEY, settings.journal_key), (CONFIG, settings.home / CONFIG_FILE)):
        if source.exists():
            copyfile(source, folder / name)
    databases = {folder / name: path.resolve() for name, path in files_of_databases(settings).items() if path.exists()}
    copy_at_one_moment(databases, lambda done, of: told("copying", done, of))
    entries = checked(folder, (), told) if (folder / JOURNAL).exists() else None
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    files = {name: digest_of(folder / name) for name in names}
    return Manifest(made_at=now, remit=version("remit"), entries=entries, files=files)


def _passing(_folder: str, names: list[str]) -> list[str]:
    """What others are writing at this moment, or can make again."""
    return [name for name in names if name.startswith(".") or name == "__pycache__"]


def _folders(settings: Settings) -> dict[str, Path]:
    places = {"checkpoints": settings.checkpoints, "outbox": settings.outbox}
    return {**places, "policies": settings.policies, "upstreams": settings.upstreams_folder}


def files_of_databases(settings: Settings) -> dict[str, Path]:
    """The databases that are files of the home."""
    with settings.open_database() as database:
        found = {} if database.is_postgresql else {JOURNAL: database.path}
    company = settings.company_database
    if company.get_backend_name() == "sqlite" and company.database:
        found[COMPANY] = Path(company.database)
    return found


def _write(partial: Path, folder: Path, manifest: Manifest, told: Told) -> None:
    with partial.open("r+b") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            text = manifest.model_dump_json(indent=1).encode()
            archive.addfile(_member(NAME, len(text), manifest), BytesIO(text))
            for number, name in enumerate(manifest.files, start=1):
                with (folder / name).open("rb") as content:
                    archive.addfile(_member(name, (folder / name).stat().st_size, manifest), content)
                told("writing", number, len(manifest.files))
        file.flush()
        os.fsync(file.fileno())


def _member(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(manifest.made_at.timestamp())
    return member
