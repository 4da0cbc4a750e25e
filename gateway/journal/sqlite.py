"""Writing the journal into a SQLite file, by the standard library alone: nothing else is as fast."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from structlog import get_logger

from gateway.journal.chain import GENESIS
from gateway.journal.entry import SealedRow
from gateway.journal.store import Refusal, placed, refusals
from gateway.journal.uses import Counts, places

log = get_logger("remit.journal")

_HEAD = "SELECT position, hash FROM journal ORDER BY position DESC LIMIT 1"
_COLUMNS = ("position", "previous", "call_id", "tenant", "principal", "at", "kind", "once", "body", "hash")
_RECORDED = "SELECT call_id FROM journal WHERE tenant = ? AND once = ?"

_USED = "SELECT at, amount FROM limit_uses WHERE tenant = ? AND used_by = ? AND at > ?"
_ADD = """
INSERT INTO limit_uses (tenant, used_by, at, amount, until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount, until = max(until, excluded.until)
"""
_RETURN = "UPDATE limit_uses SET amount = amount + ? WHERE tenant = ? AND used_by = ? AND at = ? AND amount + ? >= 0"


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

    def append(self, rows: Sequence[SealedRow]) -> list[Refusal | None]:
        """Write what may be written; says for each row why not."""
        try:
            return self._append(self._connected(), rows)
        except BaseException:
            # A connection that failed half way is not trusted again: closing it rolls back what it held.
            self.close()
            raise

    def prove_writable(self) -> None:
        """Write the file's own version number as it is."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {int(version)}")
            connection.execute("COMMIT")
        except BaseException:
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

    def _append(self, connection: sqlite3.Connection, rows: Sequence[SealedRow]) -> list[Refusal | None]:
        # The lock is taken before the head is read: no other process writes in between, so the chain cannot fork.
        connection.execute("BEGIN IMMEDIATE")
        counts = _counts(connection, rows)
        refused = refusals(rows, _recorded(connection, rows), counts)
        head = connection.execute(_HEAD).fetchone() or (0, GENESIS)
        entries, keys, beside = placed(rows, refused, *head)
        values = [(place, before, *row, digest) for place, before, row, digest in entries]
        _insert(connection, "journal", _COLUMNS, values)
        _insert(connection, "journal_keys", ("position", "tenant", "key"), keys)
        for (table, columns), found in beside.items():
            _insert(connection, table, columns, found)
        connection.executemany(_ADD, counts.added)
        connection.executemany(_RETURN, [(kept.amount, *kept[:3], kept.amount) for kept in counts.returned])
        connection.execute("COMMIT")
        return refused


def _recorded(connection: sqlite3.Connection, rows: Sequence[SealedRow]) -> dict[tuple[str, str], str]:
    recorded: dict[tuple[str, str], str] = {}
    for row, *_ in rows:
        if row.once is not None:
            found = connection.execute(_RECORDED, (row.tenant, row.once)).fetchone()
            if found:
                recorded[row.tenant, row.once] = found[0]
    return recorded


def _counts(connection: sqlite3.Connection, rows: Sequence[SealedRow]) -> Counts:
    wanted = places((row.tenant, uses) for row, _key, _beside, uses in rows if uses)
    return Counts({place: dict(connection.execute(_USED, (*place, since))) for place, since in wanted.items()})


def _insert(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[object]]
) -> None:
    # Many in one statement: after each statement this thread would wait again for its turn of the interpreter.
    start = 0
    while start < len(rows):
        # By powers of two, so that few statements are ever prepared.
        size = 1 << (len(rows) - start).bit_length() - 1
        values = [value for row in rows[start : start + size] for value in row]
        connection.execute(_insert_statement(table, columns, size), values)
        start += size


@cache
def _insert_statement(table: str, columns: tuple[str, ...], size: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * size)}"  # noqa: S608
