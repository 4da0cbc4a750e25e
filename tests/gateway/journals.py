"""Journals for tests: appended to by the real writer, sealed by a real key."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from random import Random

import psycopg

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Entry, Journal, Kind
from gateway.journal.note import PublicKey, load_or_make_signer
from gateway.journal.sealing import Sealer
from gateway.settings import load_settings

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ENTRY = Entry("call_1", "larkspur", "agent:triage", NOW, Kind.INTENT, {"tool": "crm_get_contact", "note": "größer"})


@dataclass(frozen=True)
class Kept:
    """A home folder with a journal, its key and its published checkpoints.

    Args:
        home: The folder; made if absent.
        database_url: A PostgreSQL database for the journal, empty for a file in the folder.
    """

    home: Path
    database_url: str = ""

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        if self.database_url:
            (self.home / "remit.toml").write_text(f'database_url = "{self.database_url}"\n')

    @cached_property
    def database(self) -> Database:
        return load_settings(home=self.home).open_database()

    @property
    def folder(self) -> Path:
        return self.home / "checkpoints"

    @property
    def key(self) -> PublicKey:
        return load_or_make_signer(self.home / "journal.key").public

    def sealer(self) -> Sealer:
        return Sealer(self.database, self.folder, load_or_make_signer(self.home / "journal.key"), lambda: NOW)

    def append(self, entries: Iterable[Entry]) -> None:
        async def run() -> None:
            journal = Journal(self.database, timeout=30)
            await asyncio.gather(*(journal.append(entry) for entry in entries))
            journal.close()

        asyncio.run(run())

    def grow(self, *sizes: int) -> None:
        """Append as many entries as each size says, and make a checkpoint after each."""
        for size in sizes:
            self.append(replace(ENTRY, call_id=f"call_{number}") for number in range(size))
            self.sealer().seal()


def tamper(database: Database, *statements: str) -> None:
    """Change a database as its administrator can, whatever its triggers say."""
    if database.is_postgresql:
        with psycopg.connect(str(database.url.set(drivername="postgresql", username="postgres"))) as server:
            for statement in ("SET LOCAL session_replication_role = replica", *statements):
                server.execute(statement.encode())
        return
    with database.changing(EVERY_TENANT) as connection:
        for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.exec_driver_sql(statement)


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Keep every other writer of the journal waiting."""
    with database.changing(EVERY_TENANT) as connection:
        if database.is_postgresql:
            connection.exec_driver_sql("LOCK TABLE journal")
        yield


def change_a_byte(lines: list[bytes], random_: Random) -> list[bytes]:
    """Change, remove or add one byte somewhere."""
    whole = bytearray(b"".join(lines))
    place = random_.randrange(len(whole))
    match random_.randrange(3):
        case 0:
            whole[place] ^= random_.randrange(1, 256)
        case 1:
            del whole[place]
        case 2:
            whole.insert(place, random_.randrange(256))
    return bytes(whole).splitlines(keepends=True)


def change_a_row(lines: list[bytes], random_: Random) -> list[bytes]:
    """Remove, double, move or empty one line, or put another in its place."""
    changed, place = list(lines), random_.randrange(len(lines))
    match random_.randrange(5):
        case 0:
            del changed[place]
        case 1:
            changed.insert(random_.randrange(len(lines)), lines[place])
        case 2:
            changed.insert(random_.randrange(len(lines)), changed.pop(place))
        case 3:
            changed[place] = b"{}\n"
        case 4:
            changed[place] = lines[random_.randrange(len(lines))]
    return changed
