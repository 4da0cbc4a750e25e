"""Looks whether a backed-up journal is whole: every entry is what was written, and none that was signed is missing."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from connectors.embedded.schema import UnfitTables
from gateway.backup.manifest import JOURNAL, KEY, BadBackup
from gateway.database import Database
from gateway.journal import JournalUnavailable
from gateway.journal.checkpoint import Checkpoint, read_published
from gateway.journal.note import BadKey, BadNote, PublicKey, load_signer
from gateway.journal.snapshot import snapshot
from gateway.journal.verify import check

T = TypeVar("T")
_EVERY = 500


class Older(BadBackup):
    """The journal in a backup ends before what was signed for elsewhere: restored, it would be a step back."""


def checked(folder: Path, elsewhere: Sequence[Path], told: Callable[[str, int, int], None]) -> int:
    """Check the journal in a folder.

    Args:
        folder: A home, or what is to become one.
        elsewhere: Published checkpoints that were kept elsewhere: files or folders.
        told: Hears how far it is.

    Returns:
        How many entries it has.

    Raises:
        Older: If checkpoints elsewhere cover entries that it has not.
        BadBackup: If something is not what was written.
    """
    try:
        key = load_signer(folder / KEY).public
        own = _published([folder / "checkpoints"], key)
        others = _published(elsewhere, key)
        with Database.in_file(folder / JOURNAL) as database, snapshot(database) as journal:
            entries, notes = journal.count()
            missing = max((each.size for each in others), default=0) - entries
            if missing > 0:
                told_where = f"it ends at entry {entries}, and {entries + missing} were signed for elsewhere"
                raise Older(f"this journal is older than a checkpoint: {told_where}")
            items = _counted(journal.items(), entries + notes, told)
            report = check(items, key, [*own, *others])
    except UnfitTables as error:
        raise BadBackup(f"it was made by another version; restore it with that one: {error}") from error
    except (BadKey, BadNote, JournalUnavailable, OSError) as error:
        raise BadBackup(f"the journal cannot be checked: {error}") from error
    if report.finding:
        found = report.finding
        raise BadBackup(f"the journal is not good from position {found.position}: {found.problem}")
    return report.entries


def _published(places: Sequence[Path], key: PublicKey) -> list[Checkpoint]:
    return [each for place in places if place.exists() for each in read_published(place, key)]


def _counted(items: Iterable[T], of: int, told: Callable[[str, int, int], None]) -> Iterable[T]:
    for number, item in enumerate(items):
        if number % _EVERY == 0:
            told("verifying", number, of)
        yield item
    told("verifying", of, of)
