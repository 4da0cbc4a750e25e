"""What the journal's writer needs of a database: one batch of rows made durable in one transaction."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.database import Database
from gateway.journal.entry import AlreadyRecorded, Row


class Store(Protocol):
    """The end of the chain in one database; used by one thread."""

    def append(self, rows: Sequence[Row]) -> list[AlreadyRecorded | None]:
        """Write the rows that may be written, in their order, and say for each of them why not.

        Whatever it raises, the next attempt starts afresh; what was not committed is not written.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def open_store(database: Database, patience: float) -> Store:
    """The store for a database whose tables exist; it connects when it is first used.

    Args:
        database: Where the journal is.
        patience: Seconds to wait for another writer.
    """
    if database.is_postgresql:
        from gateway.journal.postgres import PostgresStore

        return PostgresStore(database.url, patience)
    from gateway.journal.sqlite import SqliteStore

    return SqliteStore(database.path, patience)


def refusals(rows: Sequence[Row], recorded: Mapping[tuple[str, str], str]) -> list[AlreadyRecorded | None]:
    """Say for each row why it may not be written.

    Args:
        rows: A batch.
        recorded: What the journal holds already of their tenants and `once`, and by which call.
    """
    found: list[AlreadyRecorded | None] = []
    taken = dict(recorded)
    for row in rows:
        by = None if row.once is None else taken.get((row.tenant, row.once))
        if row.once is not None and by is None:
            taken[row.tenant, row.once] = row.call_id
        found.append(None if row.once is None or by is None else AlreadyRecorded(row.once, by))
    return found
