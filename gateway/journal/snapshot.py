"""The whole journal as it stood at one moment, while others go on writing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal.chain import Key, Stored
from gateway.journal.entry import Row
from gateway.journal.lines import Unreadable
from gateway.journal.reading import readable

# As text: what is stored is shown as it is, not as the tables say that it should be.
_ENTRIES = text("""
SELECT journal.position, previous, call_id, journal.tenant, principal, at, kind, once, body, hash, key
FROM journal LEFT JOIN journal_keys ON journal_keys.position = journal.position
WHERE journal.position <= :size ORDER BY journal.position
""")
_NOTES = text("SELECT size, note FROM journal_checkpoints WHERE size <= :size ORDER BY size")
_COUNTS = text("""
SELECT (SELECT count(*) FROM journal WHERE position <= :size),
    (SELECT count(*) FROM journal_checkpoints WHERE size <= :size)
""")
_KEYS = text("SELECT count(*) FROM journal_keys WHERE position <= :size")
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

    def count_keys(self) -> int:
        """The number of entries whose personal parts are not erased."""
        [count] = self._read(_KEYS).one()
        return int(count)

    def entries(self) -> Iterator[tuple[Stored, Key | None]]:
        """Yield the entries in their order, each with the key of its personal parts unless it is erased or has none.

        Raises:
            Unreadable: At the first entry that is not as the journal writes it.
        """
        for position, previous, *values, digest, key in self._read(_ENTRIES):
            row = Row(*values)
            texts = all(type(text) is str for text in row._replace(once=row.once or ""))
            if not texts or type(previous) is not bytes or type(digest) is not bytes:
                raise Unreadable(f"entry {position} is not as the journal writes it")
            yield Stored(position, previous, row, digest), key and Key(position, key)

    def items(self) -> Iterator[Stored | str]:
        """Yield the entries, and each checkpoint's note after what it covers."""
        return (item for item in self.items_with_keys() if not isinstance(item, Key))

    def items_with_keys(self) -> Iterator[Stored | Key | str]:
        """Yield the entries, what opens an entry after it, and each checkpoint's note after what it covers."""
        notes = self._read(_NOTES)
        size, note = notes.fetchone() or (None, "")
        for stored, key in self.entries():
            yield stored
            if key:
                yield key
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
    with readable(database), database.at_one_moment(EVERY_TENANT) as connection, ExitStack() as results:
        yield Snapshot(connection, _MOST if size is None else size, results)
