"""What the journal knows of calls that were begun: their entries, those without an end, those in doubt."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    exists,
    func,
    literal,
    select,
    text,
)

from connectors.embedded.tenancy import EVERY_TENANT, Tenant
from gateway.database import Database
from gateway.journal.entry import Entry, Kind
from gateway.journal.reading import ENTRIES, entries_of, readable
from gateway.journal.schema import journal

_ended = journal.alias("ended")
_HAS_END = exists().where(_ended.c.call_id == journal.c.call_id, _ended.c.kind.in_([Kind.OUTCOME, Kind.SETTLED]))
_IS_SETTLED = exists().where(
    _ended.c.tenant == journal.c.tenant, _ended.c.once == literal("outcome:").concat(journal.c.call_id)
)

metadata = MetaData()
_reached = Table(
    "recovery",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), nullable=False),
)
_REACH = text("""
INSERT INTO recovery (one, position) VALUES (1, :position)
ON CONFLICT (one) DO UPDATE SET position = excluded.position WHERE excluded.position > recovery.position
""")
_NEXT_TENANT = text("SELECT min(tenant) FROM journal WHERE tenant > :after AND once IS NOT NULL")
T = TypeVar("T")


def open_between(after: int, upto: int) -> Select[Any]:
    """The query for the intents between two positions, the second included, that have neither an end nor a doubt."""
    window = (journal.c.position > after, journal.c.position <= upto)
    return ENTRIES.where(*window, journal.c.kind == Kind.INTENT, ~_HAS_END).order_by(journal.c.position)


def doubts_in(tenant: str) -> Select[Any]:
    """The query for the entries that put a call of the tenant in doubt which nothing has settled since."""
    # By the index of what stands in the journal once; `;` comes after `:`.
    doubts = (journal.c.tenant == tenant, journal.c.once >= "doubt:", journal.c.once < "doubt;")
    return ENTRIES.where(*doubts, ~_IS_SETTLED).order_by(journal.c.position)


def count_doubts(connection: Connection) -> int:
    """Of how many calls of all tenants nobody knows whether they took effect."""
    count, tenant = 0, ""
    # From one tenant to the next by the index, whatever the number of entries.
    while tenant := connection.execute(_NEXT_TENANT, {"after": tenant}).scalar() or "":
        count += connection.execute(select(func.count()).select_from(doubts_in(tenant).subquery())).scalar_one()
    return count


class RecordedCalls:
    """Reads what became of calls. Whatever it does raises `JournalUnavailable` if the database cannot be read.

    Args:
        database: Where the journal is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare()

    async def of(self, tenant: str, *call_ids: str) -> list[Entry]:
        """Every entry of these calls, oldest first."""
        mine = (journal.c.tenant == tenant, journal.c.call_id.in_(call_ids))
        return await self._entries(tenant, ENTRIES.where(*mine).order_by(journal.c.position))

    async def open_between(self, after: int, upto: int) -> list[Entry]:
        """The intents between two positions, the second included, that have neither an outcome nor a doubt."""
        return await self._entries(EVERY_TENANT, open_between(after, upto))

    async def newest_before(self, at: str) -> int:
        """The position of the newest entry that is older than a moment, given in ISO form; 0 if there is none."""
        # From the end, so that only what is newer is read.
        newest = select(journal.c.position).where(journal.c.at < at).order_by(journal.c.position.desc()).limit(1)
        return await self._read(EVERY_TENANT, lambda connection: connection.execute(newest).scalar() or 0)

    async def doubts(self, tenant: str) -> list[Entry]:
        """The entries that put a call of the tenant in doubt which nothing has settled since, oldest first."""
        return await self._entries(tenant, doubts_in(tenant))

    async def count_doubts(self) -> int:
        """Of how many calls of all tenants nobody knows whether they took effect."""
        return await self._read(EVERY_TENANT, count_doubts)

    async def reached(self) -> int:
        """Up to where every intent is known to have an end."""
        return await self._read(
            EVERY_TENANT, lambda connection: connection.execute(select(_reached.c.position)).scalar() or 0
        )

    async def reach(self, position: int) -> None:
        """Remember that every intent up to a position has an end."""

        def write() -> None:
            with readable(self._database), self._database.changing(EVERY_TENANT) as connection:
                connection.execute(_REACH, {"position": position})

        await anyio.to_thread.run_sync(write)

    async def _entries(self, tenant: Tenant, query: Select[Any]) -> list[Entry]:
        def made(connection: Connection) -> list[Entry]:
            return list(entries_of(connection, query))

        return await self._read(tenant, made)

    async def _read(self, tenant: Tenant, read: Callable[[Connection], T]) -> T:
        def run() -> T:
            with readable(self._database), self._database.looking(tenant) as connection:
                return read(connection)

        return await anyio.to_thread.run_sync(run)
