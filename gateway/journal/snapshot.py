"""The whole journal as it stood at one moment, while others go on writing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gateway.journal.chain import Stored
from gateway.journal.database import connect_to_read
from gateway.journal.entry import JournalUnavailable, Row
from gateway.journal.lines import Unreadable

_ENTRIES = """
SELECT position, previous, call_id, tenant, principal, at, kind, once, body, hash FROM journal
WHERE position <= ? ORDER BY position
"""
_NOTES = "SELECT size, note FROM journal_checkpoints WHERE size <= ? ORDER BY size"
_MOST = 2**63 - 1


class Snapshot:
    """What a journal held at one moment.

    Args:
        connection: A connection within a read transaction.
        size: What came after this many entries is left out.
    """

    def __init__(self, connection: sqlite3.Connection, size: int) -> None:
        self._connection = connection
        self._size = size

    def count(self) -> tuple[int, int]:
        """The numbers of entries and of checkpoints."""
        [entries] = self._connection.execute(
            "SELECT count(*) FROM journal WHERE position <= ?", (self._size,)
        ).fetchone()
        notes = self._connection.execute("SELECT count(*) FROM journal_checkpoints WHERE size <= ?", (self._size,))
        return entries, notes.fetchone()[0]

    def entries(self) -> Iterator[Stored]:
        """Yield the entries in their order.

        Raises:
            Unreadable: At the first entry that is not as the journal writes it.
        """
        for position, previous, *values, digest in self._connection.execute(_ENTRIES, (self._size,)):
            row = Row(*values)
            texts = all(type(text) is str for text in row._replace(once=row.once or ""))
            if not texts or type(previous) is not bytes or type(digest) is not bytes:
                raise Unreadable(f"entry {position} is not as the journal writes it")
            yield Stored(position, previous, row, digest)

    def items(self) -> Iterator[Stored | str]:
        """Yield the entries, and the note of each checkpoint after the entries that it covers."""
        notes = self._connection.execute(_NOTES, (self._size,))
        size, note = notes.fetchone() or (None, "")
        for stored in self.entries():
            yield stored
            while size is not None and size <= stored.position:
                yield note
                size, note = notes.fetchone() or (None, "")
        if size is not None:
            yield note
            yield from (note for _size, note in notes)


@contextmanager
def snapshot(path: Path, size: int | None = None) -> Iterator[Snapshot]:
    """Open a journal as it stands now, or as it stood when it had `size` entries.

    Raises:
        JournalUnavailable: If there is no journal to read; also while reading from it.
    """
    try:
        with closing(connect_to_read(path)) as connection:
            connection.execute("BEGIN")
            yield Snapshot(connection, _MOST if size is None else size)
    except sqlite3.Error as error:
        raise JournalUnavailable(f"no journal can be read at `{path}`: {error}") from error
