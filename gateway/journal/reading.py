"""Reading entries back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from gateway.journal.database import connect_to_read
from gateway.journal.entry import Entry, JournalUnavailable, Kind, Row, from_row

_NEWEST = """
SELECT * FROM (
    SELECT position, call_id, tenant, principal, at, kind, once, body FROM journal ORDER BY position DESC LIMIT ?
) ORDER BY position
"""
_OF_ONE_CALL = """
SELECT position, call_id, tenant, principal, at, kind, once, body FROM journal WHERE call_id = ? ORDER BY position
"""

_RECORDED = """
SELECT call_id FROM journal WHERE kind = ? AND at >= ? AND (? IS NULL OR tenant = ?) AND (? IS NULL OR principal = ?)
ORDER BY position DESC LIMIT ?
"""


def calls_with(
    path: Path, kind: Kind, since: datetime, *, tenant: str | None = None, principal: str | None = None, last: int
) -> list[str]:
    """The ids of the calls that have an entry of a kind, newest first.

    Args:
        path: The database file.
        kind: The kind.
        since: From when on.
        tenant: Only this tenant's; None means every tenant's.
        principal: Only this principal's.
        last: At most so many.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    try:
        with closing(connect_to_read(path)) as connection:
            values = (kind.value, since.isoformat(), tenant, tenant, principal, principal, last)
            return [row[0] for row in connection.execute(_RECORDED, values)]
    except sqlite3.Error as error:
        raise JournalUnavailable(f"no journal can be read at `{path}`: {error}") from error


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
