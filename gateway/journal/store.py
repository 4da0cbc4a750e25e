"""What the journal's writer needs of a database: one batch of rows made durable in one transaction."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.database import Database
from gateway.journal.chain import Stored, chained
from gateway.journal.entry import AlreadyRecorded, SealedRow


class Store(Protocol):
    """The end of the chain in one database; used by one thread."""

    def append(self, rows: Sequence[SealedRow]) -> list[AlreadyRecorded | None]:
        """Write the rows that may be written, in their order and with their keys, and say for each of them why not.

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


def refusals(rows: Sequence[SealedRow], recorded: Mapping[tuple[str, str], str]) -> list[AlreadyRecorded | None]:
    """Say for each row why it may not be written.

    Args:
        rows: A batch.
        recorded: What the journal holds already of their tenants and `once`, and by which call.
    """
    found: list[AlreadyRecorded | None] = []
    taken = dict(recorded)
    for row, _key in rows:
        by = None if row.once is None else taken.get((row.tenant, row.once))
        if row.once is not None and by is None:
            taken[row.tenant, row.once] = row.call_id
        found.append(None if row.once is None or by is None else AlreadyRecorded(row.once, by))
    return found


def placed(
    rows: Sequence[SealedRow], refused: Sequence[AlreadyRecorded | None], position: int, head: bytes
) -> tuple[list[Stored], list[tuple[int, bytes]]]:
    """The rows that are not refused, in their places after the head, and the keys of those that have one.

    Args:
        rows: A batch.
        refused: What `refusals` said.
        position: The position of the last entry, 0 if there is none.
        head: The hash of the last entry.
    """
    accepted = [row for row, refusal in zip(rows, refused, strict=True) if refusal is None]
    entries = list(chained((row for row, _key in accepted), position, head))
    keys = [(stored.position, key) for stored, (_row, key) in zip(entries, accepted, strict=True) if key is not None]
    return entries, keys
