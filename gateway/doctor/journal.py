"""The journal: its newest entries are what was written, and none that was ever signed for is missing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio.to_thread
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.schema import UnfitTables
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.doctor.finding import Finding, ok, wrong
from gateway.journal.chain import Stored
from gateway.journal.checkpoint import Checkpoint, newest_published, open_checkpoint
from gateway.journal.entry import Row
from gateway.journal.note import BadKey, BadNote, PublicKey, load_signer
from gateway.settings import Settings

_TAIL = 1_000
_NEWEST = text("""
SELECT position, previous, call_id, tenant, principal, at, kind, once, body, hash
FROM journal ORDER BY position DESC LIMIT :last
""")
_NOTE = text("SELECT note FROM journal_checkpoints ORDER BY size DESC LIMIT 1")
_VERIFY = "run `remit journal verify`, and keep everything as it is until you know why"


async def journal(settings: Settings) -> Sequence[Finding]:
    """The end of the journal; all of it is `remit journal verify`."""
    return await anyio.to_thread.run_sync(lambda: list(_journal(settings)))


def _journal(settings: Settings) -> Iterator[Finding]:
    with settings.open_database() as database:
        try:
            tail, note = _read(database) if database.may_exist else ([], None)
        except (SQLAlchemyError, UnfitTables):
            tail, note = [], None  # There are no tables yet; a database that cannot be read is told of elsewhere.
    key = _key(settings.journal_key)
    if isinstance(key, Finding):
        if tail or settings.journal_key.exists():
            yield key
        return
    newest = tail[-1].position if tail else 0
    if position := _broken(tail):
        yield wrong("journal", f"entry {position} is not what was written", _VERIFY)
        return
    try:
        signed = _signed(settings.checkpoints, note, key)
    except (BadNote, OSError) as error:
        yield wrong("journal", str(error), _VERIFY)
        return
    yield from _against(signed, newest, len(tail))


def _against(signed: int, newest: int, checked: int) -> Iterator[Finding]:
    if signed > newest:
        told = f"it ends at entry {newest}, but {signed} were signed for: it was cut off or an older one put back"
        yield wrong("journal", told, 'stop the gateway and read docs/operations.md, "An older journal was put back"')
        return
    yield ok("journal", f"{newest} entries, {signed} of them signed for; the last {checked} are what was written")


def _read(database: Database) -> tuple[list[Stored], str | None]:
    with database.at_one_moment(EVERY_TENANT) as connection:
        return _stored(connection), connection.execute(_NOTE).scalar()


def _stored(connection: Connection) -> list[Stored]:
    rows = connection.execute(_NEWEST, {"last": _TAIL}).all()
    return [Stored(position, previous, Row(*row), digest) for position, previous, *row, digest in reversed(rows)]


def _broken(tail: Sequence[Stored]) -> int:
    """The first position that is not what was written; 0 if there is none."""
    before: Stored | None = None
    for stored in tail:
        follows = before is None or (stored.position, stored.previous) == (before.position + 1, before.hash)
        if not follows or stored.own_hash != stored.hash:
            return stored.position
        before = stored
    return 0


def _signed(folder: Path, note: str | None, key: PublicKey) -> int:
    """How many entries were signed for, as database and published checkpoints say."""
    found: list[Checkpoint | None] = [newest_published(folder, key) if folder.is_dir() else None]
    if note is not None:
        found.append(open_checkpoint(note, key))
    return max((each.size for each in found if each), default=0)


def _key(path: Path) -> PublicKey | Finding:
    try:
        return load_signer(path).public
    except FileNotFoundError:
        told = f"there is no `{path}`, which signed this journal"
        return wrong("journal", told, "put it back from a backup; gateways of one database need the same one")
    except (BadKey, OSError) as error:
        return wrong("journal", str(error), "put the right file back from a backup")
