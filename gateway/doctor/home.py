"""The home folder: for its owner alone, on a disk with room, of a kind that SQLite can trust."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio.to_thread

from gateway.doctor.finding import Finding, ok, warning, wrong
from gateway.settings import CONFIG_FILE, Settings

_LITTLE, _VERY_LITTLE = 2 * 2**30, 200 * 2**20
_OTHERS = 0o077
_SHARED_DISKS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs"})
_MOUNTS = Path("/proc/self/mountinfo")
_SECRETS = ("remit.db", "remit.db-wal", "company.db", "company.db-wal", "journal.key", CONFIG_FILE)


async def home(settings: Settings) -> Sequence[Finding]:
    """The folder and what is in it."""
    return await anyio.to_thread.run_sync(lambda: list(_home(settings)))


def _home(settings: Settings) -> Iterator[Finding]:
    folder = settings.home
    if not folder.is_dir():
        yield warning("home", f"`{folder}` is not there yet", "the first `remit serve` makes it, or give --home")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield wrong("home", f"`{folder}` cannot be written", "give it to the user that the gateway runs as")
        return
    yield from _modes(folder)
    yield _room(folder)
    if not settings.database_url.get_secret_value() and (kind := _disk(folder)) in _SHARED_DISKS:
        then = "put the home on a disk of this machine, or set `database_url` to PostgreSQL"
        yield wrong("home", f"`{folder}` is on {kind}, where SQLite's locks cannot be trusted", then)


def _modes(folder: Path) -> Iterator[Finding]:
    paths = [folder, *(folder / name for name in _SECRETS)]
    open_ = [path for path in paths if path.exists() and path.stat().st_mode & _OTHERS]
    for path in open_:
        told = f"other users of this machine may look into `{path}`"
        yield wrong("permissions", told, f"`chmod {'700' if path.is_dir() else '600'} {path}`")
    if not open_:
        yield ok("permissions", f"`{folder}` and its secrets are for their owner alone")


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    told = f"{free / 2**30:.1f} GiB free at `{folder}`"
    then = "make room before the journal cannot be written: no call runs then"
    if free < _VERY_LITTLE:
        return wrong("disk", told, then)
    return warning("disk", told, then) if free < _LITTLE else ok("disk", told)


def _disk(folder: Path) -> str:
    """The kind of file system that a folder is on; empty where nobody says."""
    try:
        lines = [line.split(" ") for line in _MOUNTS.read_text("utf-8").splitlines()]
    except OSError:
        return ""
    where = folder.resolve()
    # Mount point is the fifth field, the kind follows the hyphen (proc(5)).
    mounts = [(Path(line[4]), line[line.index("-") + 1]) for line in lines]
    return max((len(point.parts), kind) for point, kind in mounts if where.is_relative_to(point))[1]
