"""Writing the journal into a SQLite file, by the standard library alone: nothing else is as fast."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from structlog import get_logger

from gateway.journal.chain import GENESIS, Stored, chained
from gateway.journal.entry import AlreadyRecorded, Row
from gateway.journal.store import refusals

log = get_logger("remit.journal")

_HEAD = "SELECT position, hash FROM journal ORDER BY position DESC LIMIT 1"
_COLUMNS = "position, previous, call_id, tenant, principal, at, kind, once, body, hash"
_RECORDED = "SELECT call_id FROM journal WHERE tenant = ? AND once = ?"


class SqliteStore:
    """The end of the chain in one file; a `Store`.

    Args:
        path: The database file.
        patience: Seconds to wait for another writer.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._connection: sqlite3.Connection | None = None

    def append(self, rows: Sequence[Row]) -> list[AlreadyRecorded | None]:
        """Write what may be written; says for each row why not."""
        try:
            return self._append(self._connected(), rows)
        except BaseException:
            # A connection that failed half way is not trusted again: closing it rolls back what it held.
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection:
            try:
                connection.close()
            except sqlite3.Error:
                log.warning("journal_close_failed")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        return self._connection

    def _append(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> list[AlreadyRecorded | None]:
        # The lock is taken before the head is read: no other process writes in between, so the chain cannot fork.
        connection.execute("BEGIN IMMEDIATE")
        refused = refusals(rows, _recorded(connection, rows))
        head = connection.execute(_HEAD).fetchone() or (0, GENESIS)
        accepted = (row for row, refusal in zip(rows, refused, strict=True) if refusal is None)
        _insert(connection, list(chained(accepted, *head)))
        connection.execute("COMMIT")
        return refused


def _recorded(connection: sqlite3.Connection, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    recorded: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.once is not None:
            found = connection.execute(_RECORDED, (row.tenant, row.once)).fetchone()
            if found:
                recorded[row.tenant, row.once] = found[0]
    return recorded


def _insert(connection: sqlite3.Connection, entries: Sequence[Stored]) -> None:
    # Many in one statement: after each statement this thread would wait again for its turn of the interpreter.
    start = 0
    while start < len(entries):
        # By powers of two, so that few statements are ever prepared.
        size = 1 << (len(entries) - start).bit_length() - 1
        some = entries[start : start + size]
        values = [value for place, before, row, digest in some for value in (place, before, *row, digest)]
        connection.execute(_insert_statement(size), values)
        start += size


@cache
def _insert_statement(size: int) -> str:
    return f"INSERT INTO journal ({_COLUMNS}) VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * size)  # noqa: S608
