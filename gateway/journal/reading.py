"""Reading entries back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gateway.journal.database import connect_to_read
from gateway.journal.entry import Entry, JournalUnavailable, Row, from_row

_NEWEST = """
SELECT * FROM (
    SELECT position, call_id, tenant, principal, at, kind, once, body FROM journal ORDER BY position DESC LIMIT ?
) ORDER BY position
"""
_OF_ONE_CALL = """
SELECT position, call_id, tenant, principal, at, kind, once, body FROM journal WHERE call_id = ? ORDER BY position
"""


def read_journal(path: Path, *, call_id: str | None = None, last: int | None = None) -> Iterator[Entry]:
    """Yield entries, oldest first.

    Args:
        path: The database file.
        call_id: Only the entries of this call.
        last: Otherwise only this many, the newest.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    # A negative limit is none at all (SQLite, "The LIMIT clause").
    query, values = (_OF_ONE_CALL, (call_id,)) if call_id else (_NEWEST, (-1 if last is None else last,))
    try:
        with closing(connect_to_read(path)) as connection:
            for position, *row in connection.execute(query, values):
                yield from_row(position, Row(*row))
    except sqlite3.Error as error:
        raise JournalUnavailable(f"no journal can be read at `{path}`: {error}") from error
