"""Recording an erasure, and carrying out what was recorded."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from sys import maxsize
from typing import TypeAlias

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import reason
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.grants.table import OF_ERASED_ENTRIES
from gateway.journal import Entry, Journal, JournalUnavailable, Kind
from gateway.journal.entry import is_lost
from gateway.journal.reading import ENTRIES, entries_of, readable
from gateway.journal.schema import journal
from gateway.journal.snapshot import snapshot

Ranges: TypeAlias = tuple[tuple[int, int], ...]

_PREFIX = "era_"
_AFTER = "era`"
"""The first text after all that begin with the prefix, in the order of bytes."""
_RANGES_IN_ENTRY = 5_000
# A deletion holds up whoever writes: as long as one commit of a busy journal, not longer.
_AT_ONCE = 5_000
# While it waits for readers nobody writes: less than a writer's patience, and rather once more.
_CHECKPOINT_SECONDS, _CHECKPOINT_TRIES = 0.5, 20
# What was answered to a call goes with what it was about, or not at all.
_ANSWERS = text("""
DELETE FROM settled WHERE tenant = :tenant AND id IN (
    SELECT call_id FROM journal WHERE tenant = :tenant AND position IN (
        SELECT position FROM journal_keys WHERE position BETWEEN :first AND :last
    )
)
""")
_KEYS = text("DELETE FROM journal_keys WHERE tenant = :tenant AND position BETWEEN :first AND :last")
_FIRST_KEY = text("SELECT min(position) FROM journal_keys WHERE tenant = :tenant AND position BETWEEN :first AND :last")


@dataclass(frozen=True)
class Erasure:
    """What is erased of one tenant's entries, by whom and why; not what it said.

    Args:
        tenant: Whose entries.
        positions: Ranges of positions, rising, both ends included.
        by: The person, without prefix; empty where policy alone asks for it.
        reason: In words that may be kept; `retention` where policy asks for it.
        policy_version: The policy that asks for it; empty if a person does.
        position: Where it stands in the journal; 0 as long as it does not.
    """

    tenant: str
    positions: Ranges
    by: str
    reason: str
    policy_version: str = ""
    position: int = 0

    @property
    def why(self) -> str:
        """In words."""
        if self.policy_version:
            return f"by retention under policy {self.policy_version}"
        return f"on request, by {self.by}: {self.reason}"

    def covers(self, entry: Entry) -> bool:
        """Whether it is of an entry."""
        return entry.tenant == self.tenant and any(first <= entry.position <= last for first, last in self.positions)


def ranges(positions: Iterable[int]) -> Ranges:
    """Rising positions as ranges."""
    found: list[tuple[int, int]] = []
    for position in positions:
        if found and found[-1][1] == position - 1:
            found[-1] = (found[-1][0], position)
        else:
            found.append((position, position))
    return tuple(found)


async def record(journal: Journal, erasure: Erasure, now: datetime) -> None:
    """Make an erasure durable in the journal: from here on it is carried out, by this process or by another.

    Raises:
        JournalUnavailable: If it is not recorded; then nothing may be erased.
    """
    principal = f"person:{erasure.by}" if erasure.by else "policy"
    for start in range(0, len(erasure.positions), _RANGES_IN_ENTRY):
        body = {
            "positions": erasure.positions[start : start + _RANGES_IN_ENTRY],
            "by": erasure.by or None,
            "reason": erasure.reason,
            "policy_version": erasure.policy_version or None,
        }
        await journal.append(Entry(f"{_PREFIX}{token_hex(12)}", erasure.tenant, principal, now, Kind.ERASED, body))


def erasures(database: Database) -> list[Erasure]:
    """Everything that was ever recorded as erased, oldest first.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    # By the index of calls: nothing else begins like this.
    query = ENTRIES.where(journal.c.call_id >= _PREFIX, journal.c.call_id < _AFTER, journal.c.kind == Kind.ERASED)
    with readable(database), database.looking(EVERY_TENANT) as connection:
        return [_erasure(entry) for entry in entries_of(connection, query.order_by(journal.c.position))]


def carry_out(database: Database, recorded: Sequence[Erasure]) -> int:
    """Destroy the keys of what was recorded as erased, and the kept answers, as far as that is not done yet.

    Args:
        database: Where the journal is; its tables exist.
        recorded: What `erasures` gave.

    Returns:
        How many entries can no longer be read.

    Raises:
        JournalUnavailable: If something of it is not destroyed; it is tried again when this is called again.
    """
    try:
        done = sum(_destroy(database, *where) for where in _not_destroyed(database, recorded))
        if recorded:
            # Also if nothing was left to delete: the files may not have let go of it the last time.
            _leave_no_trace(database)
    except (SQLAlchemyError, sqlite3.Error) as error:
        why = reason(error) if isinstance(error, SQLAlchemyError) else str(error)
        raise JournalUnavailable(f"what was recorded as erased is not all destroyed yet: {why}") from error
    return done


def lost(database: Database, recorded: Sequence[Erasure]) -> Ranges:
    """The entries whose personal parts nothing opens any more, though no record says that they were erased.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    with snapshot(database) as stored:
        entries = ((entry, key and key.key) for entry, key in stored.entries())
        missing = [(entry.position, entry.row.tenant) for entry, key in entries if is_lost(entry.row, key)]
    covered = {tenant: erased_positions(recorded, tenant) for tenant in {tenant for _position, tenant in missing}}
    return ranges(position for position, tenant in missing if not _within(position, covered[tenant]))


def erased_positions(recorded: Iterable[Erasure], tenant: str) -> Ranges:
    """The positions of a tenant that are recorded as erased, each once."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(pair for each in recorded if each.tenant == tenant for pair in each.positions):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _within(position: int, rising: Ranges) -> bool:
    place = bisect_right(rising, (position, maxsize))
    return place > 0 and position <= rising[place - 1][1]


def _not_destroyed(database: Database, recorded: Iterable[Erasure]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    with database.looking(EVERY_TENANT) as connection:
        for tenant, (first, last) in ((each.tenant, pair) for each in recorded for pair in each.positions):
            start = connection.execute(_FIRST_KEY, {"tenant": tenant, "first": first, "last": last}).scalar()
            found += [] if start is None else [(tenant, start, last)]
    return found


def _destroy(database: Database, tenant: str, start: int, last: int) -> int:
    done = 0
    while start <= last:
        some = {"tenant": tenant, "first": start, "last": min(start + _AT_ONCE - 1, last)}
        with database.changing(tenant) as connection:
            _overwrite(connection)
            connection.execute(_ANSWERS, some)
            connection.execute(OF_ERASED_ENTRIES, some)
            done += connection.execute(_KEYS, some).rowcount
        start += _AT_ONCE
    return done


def _overwrite(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # What is deleted is overwritten with zeros, not left in free pages (SQLite, PRAGMA secure_delete).
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _leave_no_trace(database: Database) -> None:
    """Make what was deleted vanish from the files: SQLite's write-ahead log still holds it, PostgreSQL's table too."""
    if database.is_postgresql:
        database.vacuum("journal_keys", "settled", "grants")
        return
    with closing(sqlite3.connect(database.path, timeout=_CHECKPOINT_SECONDS, isolation_level=None)) as file:
        for _ in range(_CHECKPOINT_TRIES):
            busy, *_pages = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
    raise sqlite3.OperationalError(
        f"somebody reads `{database.path}` at the moment, so its write-ahead log keeps copies of keys; "
        "repeat `remit journal retain` later"
    )


def _erasure(entry: Entry) -> Erasure:
    body = entry.body
    return Erasure(
        tenant=entry.tenant,
        positions=tuple((first, last) for first, last in body["positions"]),
        by=body["by"] or "",
        reason=body["reason"],
        policy_version=body["policy_version"] or "",
        position=entry.position,
    )


def erased_by(entry: Entry, recorded: Iterable[Erasure]) -> Iterator[Erasure]:
    """The erasures that an entry was part of."""
    return (each for each in recorded if entry.erased and each.covers(entry))
