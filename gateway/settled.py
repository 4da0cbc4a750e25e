"""The answers of calls that ran once, for callers who repeat them.

Kept apart from the journal, which says that something happened: an answer holds customers' data and may be forgotten.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

_SCHEMA = "CREATE TABLE IF NOT EXISTS settled (id TEXT PRIMARY KEY, answer TEXT NOT NULL)"
_BUSY_SECONDS = 5
T = TypeVar("T")


class SettledAnswers:
    """Answers by the name of the call, in one SQLite file.

    Args:
        path: The database file; made if absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as connection:
            connection.execute(_SCHEMA)

    async def keep(self, name: str, answer: str) -> None:
        """Keep an answer, as JSON; the first one stays."""
        await self._off_loop(
            lambda connection: connection.execute("INSERT OR IGNORE INTO settled VALUES (?, ?)", (name, answer))
        )

    async def find(self, name: str) -> str | None:
        """Find a kept answer."""

        def look(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT answer FROM settled WHERE id = ?", (name,)).fetchone()
            return row[0] if row else None

        return await self._off_loop(look)

    async def _off_loop(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            with self._open() as connection:
                return work(connection)

        return await anyio.to_thread.run_sync(run)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as connection, connection:
            yield connection
