"""Puts a backup where a gateway can go on from it. Nothing has its final name before all of it was checked."""

import os
import shutil
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from gateway.backup.checking import checked
from gateway.backup.making import Told
from gateway.backup.manifest import JOURNAL, NAME, BadBackup, Manifest, may_be_in

_LARGEST_MANIFEST = 64 * 2**20
_PIECE = 2**20


def restore_backup(file: Path, home: Path, elsewhere: Sequence[Path], told: Told) -> Manifest:
    """Restore a backup.

    Args:
        file: The backup.
        home: The home to make; it must not be there, or be empty.
        elsewhere: Published checkpoints that were kept elsewhere: files or folders.
        told: Hears how far it is.

    Raises:
        Older: If these cover entries that the backup has not.
        BadBackup: If it cannot be used; then there is no home.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise BadBackup(f"`{home}` is not empty: move it away, or restore to another place")
    home, name = home.resolve(), f".restoring-{os.getpid()}"
    # A volume's folder is there already and keeps its place.
    beside = home / name if home.exists() else home.with_name(f"{name}-{home.name}")
    try:
        beside.mkdir(mode=0o700, parents=True)
        manifest = _unpacked(file, beside, told)
        if (beside / JOURNAL).exists() and checked(beside, elsewhere, told) != manifest.entries:
            raise BadBackup("its journal has another number of entries than it says")
        _into_place(beside, home)
    except (OSError, tarfile.TarError) as error:
        raise BadBackup(f"it cannot be restored: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _into_place(restored: Path, home: Path) -> None:
    if restored.parent != home:
        restored.rename(home)
        return
    # Checking takes its time, and a gateway that was started meanwhile writes on into what it made.
    if [path for path in home.iterdir() if path != restored]:
        raise BadBackup(f"`{home}` did not stay empty: stop the gateway that writes there, and empty it")
    # The journal last: without it a gateway that starts too early finds nothing, rather than half of everything.
    for path in sorted(restored.iterdir(), key=lambda path: path.name == JOURNAL):
        path.rename(home / path.name)
    with suppress(OSError):  # It may be somebody else's.
        home.chmod(0o700)


def _unpacked(file: Path, folder: Path, told: Told) -> Manifest:
    with tarfile.open(file, "r:") as archive:
        first = archive.next()
        if first is None or first.name != NAME or not first.isreg() or first.size > _LARGEST_MANIFEST:
            raise BadBackup(f"`{file}` is no backup of Remit")
        manifest = _manifest(archive, first)
        left = dict(manifest.files)
        while member := archive.next():
            wanted = left.pop(member.name, None)
            if wanted is None or not member.isreg() or not may_be_in(member.name):
                raise BadBackup("it holds something that it does not name: it was made otherwise, or changed")
            if _written(archive, member, folder / member.name) != wanted:
                raise BadBackup(f"`{member.name}` in it is damaged: use another backup")
            told("unpacking", len(manifest.files) - len(left), len(manifest.files))
    if left:
        raise BadBackup(f"`{next(iter(left))}` is missing in it: use another backup")
    return manifest


def _manifest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    content = archive.extractfile(member)
    assert content  # noqa: S101 - it is a file
    try:
        return Manifest.model_validate_json(content.read())
    except ValidationError:
        raise BadBackup("its table of contents cannot be read: a newer version made it, or it is damaged") from None


def _written(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> str:
    """Write a file for its owner alone and onto the disk; give its digest."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content, digest = archive.extractfile(member), sha256()
    assert content  # noqa: S101 - it is a file
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := content.read(_PIECE):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
