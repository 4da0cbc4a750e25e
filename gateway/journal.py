"""The journal: what was asked, decided and done, durable before anything happens.

One thread writes; entries that arrive together are committed together (group commit), each with a full sync, so the
cost of durability is shared. A caller goes on only when its entry is on the disk. The journal never waits for ever:
an entry that is not durable in time is an error, and whoever asked must not act.
"""

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from structlog import get_logger

log = get_logger("remit.journal")

_BATCH = 256
_QUEUE = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS journal_call ON journal (call_id);
CREATE INDEX IF NOT EXISTS journal_run ON journal (tenant, principal, kind, at);
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


_INSERT = "INSERT INTO journal (call_id, tenant, principal, at, kind, body) VALUES (?, ?, ?, ?, ?, ?)"


class Kind(StrEnum):
    """What an entry records."""

    UNKNOWN_TOOL = "unknown_tool"
    INVALID = "invalid"
    DENIED = "denied"
    PENDING = "pending"
    INTENT = "intent"
    OUTCOME = "outcome"


class JournalUnavailable(Exception):
    """The entry is not durable: whoever asked must not act."""


@dataclass(frozen=True)
class Entry:
    """One event. `body` is JSON data; `position` is given by the journal when the entry is read back."""

    call_id: str
    tenant: str
    principal: str
    at: datetime
    kind: Kind
    body: dict[str, Any]
    position: int = 0


@dataclass
class _Pending:
    row: tuple[str, ...]
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    abandoned: threading.Event = field(default_factory=threading.Event)

    def settle(self, error: Exception | None) -> None:
        self.loop.call_soon_threadsafe(self._settle_on_loop, error)

    def _settle_on_loop(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Journal:
    """The append-only record in one SQLite file.

    Args:
        path: The database file; made if absent.
        timeout: Seconds an entry may take to become durable.

    Raises:
        JournalUnavailable: If the file cannot be opened and written.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._queue: queue.Queue[_Pending | None] = queue.Queue(_QUEUE)
        self._connection: sqlite3.Connection | None = None
        self.failing: str = ""
        """Why the last write failed; empty while the journal works."""
        try:
            self._connect().close()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"the journal `{path}` cannot be written: {error}") from error
        self._thread = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
        self._thread.start()

    async def append(self, entry: Entry) -> None:
        """Make an entry durable.

        Raises:
            JournalUnavailable: If it is not on the disk within the timeout. It may still turn up in the journal: an
                intent without an outcome, which is the safe side.
        """
        loop = asyncio.get_running_loop()
        pending = _Pending(_row(entry), loop.create_future(), loop)
        try:
            self._queue.put_nowait(pending)
        except queue.Full:
            raise JournalUnavailable("the journal cannot keep up") from None
        try:
            async with asyncio.timeout(self._timeout):
                await pending.done
        except TimeoutError:
            self.failing = f"no answer within {self._timeout:g} s"
            raise JournalUnavailable("the journal does not answer in time") from None
        finally:
            pending.abandoned.set()

    def close(self) -> None:
        """Write what is queued and stop."""
        self._queue.put(None)
        self._thread.join(self._timeout + 1)

    def _write_until_closed(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._next_batch()
            wanted = [pending for pending in batch if not pending.abandoned.is_set()]
            if wanted:
                self._write(wanted)
        if self._connection:
            self._connection.close()

    def _next_batch(self) -> tuple[list[_Pending], bool]:
        batch: list[_Pending] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == _BATCH or self._queue.empty():
                return batch, True
            item = self._queue.get_nowait()
        return batch, False

    def _write(self, batch: list[_Pending]) -> None:
        try:
            self._commit([pending.row for pending in batch])
        except Exception as error:  # noqa: BLE001 - whatever happens, the one writer lives and says that it failed
            log.error("journal_write_failed", error=str(error), entries=len(batch))
            self._drop_connection()
            self.failing = str(error)
            for pending in batch:
                pending.settle(JournalUnavailable("the journal cannot be written"))
        else:
            self.failing = ""
            for pending in batch:
                pending.settle(None)

    def _commit(self, rows: list[tuple[str, ...]]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("COMMIT")

    def _drop_connection(self) -> None:
        # A connection that failed half way is not trusted again: closing it rolls back what it held.
        connection, self._connection = self._connection, None
        if connection:
            try:
                connection.close()
            except sqlite3.Error:
                log.warning("journal_close_failed")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout / 2, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        return connection


_NEWEST = """
SELECT * FROM (SELECT position, call_id, tenant, principal, at, kind, body FROM journal ORDER BY position DESC LIMIT ?)
ORDER BY position
"""
_OF_ONE_CALL = """
SELECT position, call_id, tenant, principal, at, kind, body FROM journal WHERE call_id = ? ORDER BY position
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
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            for position, call, tenant, principal, at, kind, body in connection.execute(query, values):
                yield Entry(call, tenant, principal, datetime.fromisoformat(at), Kind(kind), json.loads(body), position)
    except sqlite3.Error as error:
        raise JournalUnavailable(f"no journal can be read at `{path}`: {error}") from error


def _row(entry: Entry) -> tuple[str, ...]:
    # ASCII: no text that a caller can think of is then unwritable, half of a surrogate pair included.
    body = json.dumps(entry.body, separators=(",", ":"), sort_keys=True)
    return entry.call_id, entry.tenant, entry.principal, entry.at.isoformat(), entry.kind.value, body
