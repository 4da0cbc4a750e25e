"""What the journal's writer needs of a database: one batch of rows made durable in one transaction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from gateway.database import Database
from gateway.journal.chain import Stored, chained
from gateway.journal.entry import AlreadyRecorded, Beside, SealedRow
from gateway.journal.uses import Counts, OverLimit

Refusal: TypeAlias = AlreadyRecorded | OverLimit


class Store(Protocol):
    """The end of the chain in one database; used by one thread."""

    def append(self, rows: Sequence[SealedRow]) -> list[Refusal | None]:
        """Write the rows that may be written, in their order and with their keys, and say for each of them why not.

        Whatever it raises, the next attempt starts afresh; what was not committed is not written.
        """
        ...

    def prove_writable(self) -> None:
        """Take the writers' lock and make something durable that changes nothing; raises what stands in the way."""
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


def refusals(
    rows: Sequence[SealedRow], recorded: Mapping[tuple[str, str], str], counts: Counts
) -> list[Refusal | None]:
    """Say for each row why it may not be written, and count what the others use up.

    Args:
        rows: A batch.
        recorded: What the journal holds already of their tenants and `once`, and by which call.
        counts: What is used up of the limits that they name.
    """
    found: list[Refusal | None] = []
    taken = dict(recorded)
    for row, _key, _beside, uses in rows:
        by = None if row.once is None else taken.get((row.tenant, row.once))
        if row.once is not None and by is not None:
            found.append(AlreadyRecorded(row.once, by))
            continue
        refusal = counts.take(row.tenant, uses) if uses else None
        if row.once is not None and refusal is None:
            taken[row.tenant, row.once] = row.call_id
        found.append(refusal)
    return found


class Placed(NamedTuple):
    """What one batch writes.

    Args:
        entries: The entries in their places.
        keys: Of those that have one, the position, the tenant and the key.
        beside: The rows of other tables by table and columns, each beginning with its entry's position.
    """

    entries: list[Stored]
    keys: list[tuple[int, str, bytes]]
    beside: dict[tuple[str, tuple[str, ...]], list[tuple[object, ...]]]


def placed(rows: Sequence[SealedRow], refused: Sequence[Refusal | None], position: int, head: bytes) -> Placed:
    """The rows that are not refused, in their places after the head, with all that is written along with them.

    Args:
        rows: A batch.
        refused: What `refusals` said.
        position: The position of the last entry, 0 if there is none.
        head: The hash of the last entry.
    """
    accepted = [row for row, refusal in zip(rows, refused, strict=True) if refusal is None]
    entries = list(chained((row.row for row in accepted), position, head))
    both = list(zip(entries, accepted, strict=True))
    keys = [(stored.position, stored.row.tenant, row.key) for stored, row in both if row.key is not None]
    beside: dict[tuple[str, tuple[str, ...]], list[tuple[object, ...]]] = {}
    for stored, row in both:
        for each in row.beside:
            beside.setdefault(_where(each), []).append((stored.position, *each.values))
    return Placed(entries, keys, beside)


def _where(row: Beside) -> tuple[str, tuple[str, ...]]:
    return row.table, ("position", *row.columns)
