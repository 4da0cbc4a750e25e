"""Looking up what every call must know, from the event loop, for little more than what the query itself costs.

One thread keeps one connection to the file and serves one look after the other; handing a look over takes a third of
what a pool of threads takes. A server is asked over its pool of connections. Whoever looks waits for a limited time.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio.to_thread
from sqlalchemy.exc import OperationalError

from connectors.embedded.tenancy import Tenant
from gateway.deadlines import Deadlines, Waited, settle

if TYPE_CHECKING:
    from gateway.database import Database

Query: TypeAlias = tuple[str, Mapping[str, Any]]
"""SQL for SQLite and PostgreSQL, with `:name` for what is asked, and plain values by name."""
Rows: TypeAlias = Sequence[tuple[Any, ...]]

_PATIENCE_SECONDS = 10.0
_CLOSING_SECONDS = 1.0


@dataclass(slots=True)
class _Look:
    queries: Sequence[Query]
    done: Waited
    loop: asyncio.AbstractEventLoop
    found: Sequence[Rows] = ()


class Looks:
    """Looks into one database. As many wait at once as calls do.

    Args:
        database: Where to look.
        patience: Seconds that a look may take.
    """

    def __init__(self, database: "Database", patience: float = _PATIENCE_SECONDS) -> None:
        self._database = database
        self._patience = patience
        self._queue: SimpleQueue[_Look | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._deadlines: Deadlines | None = None

    async def look(self, tenant: Tenant, *queries: Query) -> Sequence[Rows]:
        """What some queries find, one after the other: each sees what is committed when it begins.

        Args:
            tenant: Whose rows; in a file the queries' own conditions say it.
            queries: What to find.

        Raises:
            SQLAlchemyError: If there is no database to read, it cannot be read, or not in time.
        """
        if self._database.is_postgresql:
            return await anyio.to_thread.run_sync(self._database.look_all, tenant, queries)
        loop = asyncio.get_running_loop()
        look = _Look(queries, loop.create_future(), loop)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="looks", daemon=True)
            self._thread.start()
        self._queue.put(look)
        self._deadlines_of(loop).watch(look.done)
        await look.done
        return look.found

    def close(self) -> None:
        """Close the connection; the next look opens another."""
        thread, self._thread = self._thread, None
        if thread:
            self._queue.put(None)
            thread.join(_CLOSING_SECONDS)

    def _deadlines_of(self, loop: asyncio.AbstractEventLoop) -> Deadlines:
        deadlines = self._deadlines
        if deadlines is None or deadlines.loop is not loop:
            deadlines = self._deadlines = Deadlines(loop, self._patience, self._give_up)
        return deadlines

    def _give_up(self, done: Waited) -> None:
        done.set_exception(_unreadable(TimeoutError(f"no answer within {self._patience:g} s")))

    def _serve(self) -> None:
        file = _File(self._database)
        while (look := self._queue.get()) is not None:
            error: Exception | None = None
            # Whoever gave up or went away needs no answer: after a standstill nobody waits for the backlog.
            if not look.done.done():
                try:
                    look.found = file.read(look.queries)
                except Exception as raised:  # noqa: BLE001 - whatever happens, the one thread lives and says that it failed
                    error = _unreadable(raised)
            with suppress(RuntimeError):  # a loop that has ended meanwhile has nobody left who waits
                look.loop.call_soon_threadsafe(settle, look.done, error)
        file.close()


class _File:
    """The kept connection to the database's file; used by one thread."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._which = (0, 0)

    def read(self, queries: Sequence[Query]) -> Sequence[Rows]:
        try:
            connection = self._connected()
            return [connection.execute(query, asked).fetchall() for query, asked in queries]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        # After a restore the old file is not read.
        which = self._database.which_file()
        if self._connection is None or which != self._which:
            self.close()
            self._connection, self._which = self._database.open_to_read(), which
        return self._connection


def _unreadable(error: Exception) -> OperationalError:
    return OperationalError(None, None, error)
