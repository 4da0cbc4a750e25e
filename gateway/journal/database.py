"""The journal's tables in the gateway's SQLite file."""

import sqlite3
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    position INTEGER PRIMARY KEY,
    previous BLOB NOT NULL,
    call_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    once TEXT,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS journal_call ON journal (call_id);
CREATE INDEX IF NOT EXISTS journal_run ON journal (tenant, principal, kind, at);
CREATE UNIQUE INDEX IF NOT EXISTS journal_once ON journal (tenant, once) WHERE once IS NOT NULL;
CREATE TABLE IF NOT EXISTS journal_checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS journal_tree (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    subtrees BLOB NOT NULL
);
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_checkpoints_no_update BEFORE UPDATE ON journal_checkpoints
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_checkpoints_no_delete BEFORE DELETE ON journal_checkpoints
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Open the database for writing and make its tables if absent.

    Args:
        path: The database file.
        patience: Seconds to wait for another writer.

    Raises:
        sqlite3.Error: If it cannot be opened and written.
    """
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(_SCHEMA)
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open the database read-only.

    Raises:
        sqlite3.Error: If there is none to read.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
