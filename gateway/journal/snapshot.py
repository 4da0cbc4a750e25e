"""The whole journal as it stood at one moment, while others go on writing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text

from gateway.database import Database
from gateway.journal.chain import Stored
from gateway.journal.entry import Row
from gateway.journal.lines import Unreadable
from gateway.journal.reading import readable

# As text: what is stored is shown as it is, not as the tables say that it should be.
_ENTRIES = text("""
SELECT position, previous, call_id, tenant, principal, at, kind, once, body, hash FROM journal
WHERE position <= :size ORDER BY position
""")
_NOTES = text("SELECT size, note FROM journal_checkpoints WHERE size <= :size ORDER BY size")
_COUNTS = text("""
SELECT (SELECT count(*) FROM journal WHERE position <= :size),
    (SELECT count(*) FROM journal_checkpoints WHERE size <= :size)
""")
_MOST = 2**63 - 1


class Snapshot:
    """What a journal held at one moment.

    Args:
        connection: A connection that reads as of one moment.
        size: What came after this many entries is left out.
        results: Closes what was not read to its end.
    """

    def __init__(self, connection: Connection, size: int, results: ExitStack) -> None:
        self._connection = connection
        self._size = size
        self._results = results

    def count(self) -> tuple[int, int]:
        """The numbers of entries and of checkpoints."""
        entries, notes = self._read(_COUNTS).one()
        return entries, notes

    def entries(self) -> Iterator[Stored]:
        """Yield the entries in their order.

        Raises:
            Unreadable: At the first entry that is not as the journal writes it.
        """
        for position, previous, *values, digest in self._read(_ENTRIES):
            row = Row(*values)
            texts = all(type(text) is str for text in row._replace(once=row.once or ""))
            if not texts or type(previous) is not bytes or type(digest) is not bytes:
                raise Unreadable(f"entry {position} is not as the journal writes it")
            yield Stored(position, previous, row, digest)

    def items(self) -> Iterator[Stored | str]:
        """Yield the entries, and the note of each checkpoint after the entries that it covers."""
        notes = self._read(_NOTES)
        size, note = notes.fetchone() or (None, "")
        for stored in self.entries():
            yield stored
            while size is not None and size <= stored.position:
                yield note
                size, note = notes.fetchone() or (None, "")
        if size is not None:
            yield note
            yield from (note for _size, note in notes)

    def _read(self, query: TextClause) -> CursorResult[*tuple[Any, ...]]:
        return self._results.enter_context(self._connection.execute(query, {"size": self._size}))


@contextmanager
def snapshot(database: Database, size: int | None = None) -> Iterator[Snapshot]:
    """Open a journal as it stands now, or as it stood when it had `size` entries.

    Raises:
        JournalUnavailable: If there is no journal to read; also while reading from it.
    """
    with readable(database), database.at_one_moment() as connection, ExitStack() as results:
        yield Snapshot(connection, _MOST if size is None else size, results)
