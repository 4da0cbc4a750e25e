"""The database that holds what the gateway keeps: one SQLite file or one PostgreSQL database, by one URL.


Whatever is read or written, it is said for which tenant; on PostgreSQL nothing of others is then found or changed.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from connectors.embedded.engine import BUSY_SECONDS, database_url, make_engine
from connectors.embedded.schema import bring_up_to_date, check_form
from connectors.embedded.tenancy import Tenant, setting
from gateway.looking import Looks, Query, Rows
from gateway.tables import GATEWAY

if TYPE_CHECKING:
    import psycopg

_ROWS_AT_ONCE = 1_000
_NAME = re.compile(r":(?=[a-z])(\w+)")


@lru_cache(maxsize=100)
def _for_psycopg(query: str) -> bytes:
    return _NAME.sub(r"%(\1)s", query.replace("%", "%%")).encode()


class Pool(NamedTuple):
    """Open connections.

    Args:
        in_use: How many are in use.
        idle: How many wait for their next use.
    """

    in_use: int
    idle: int


class Database:
    """Where journal, tokens and settled answers are. Used off the event loop.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`.
        patience: Seconds that a server may take for one answer.

    Raises:
        ValueError: If the URL is neither.
    """

    def __init__(self, url: str | URL, patience: float = 10) -> None:
        self.url = database_url(url) if isinstance(url, str) else url
        # A file may be replaced by another one of the same name, as after a restore: then the old one is not read.
        self._engine = make_engine(self.url, pooled=self.is_postgresql, patience=patience)
        self._to_read = self._engine if self.is_postgresql else make_engine(self.url, creator=self.open_to_read)
        self.looks = Looks(self)
        if not self.is_postgresql:
            event.listen(self._to_read, "connect", self._note_file)
            event.listen(self._to_read, "checkout", self._check_file)
        self._is_fit = False

    @classmethod
    def in_file(cls, path: Path) -> "Database":
        """The database in a SQLite file, which need not exist yet."""
        return cls(URL.create("sqlite", database=str(path)))

    @property
    def is_postgresql(self) -> bool:
        """Whether it is on a PostgreSQL server; otherwise it is a file."""
        return self.url.get_backend_name() == "postgresql"

    @property
    def path(self) -> Path:
        """The file, if it is one."""
        return Path(self.url.database or "")

    @property
    def may_exist(self) -> bool:
        """False if it is a file that is not there."""
        return self.is_postgresql or self.path.exists()

    @property
    def pool(self) -> "Pool | None":
        """How many connections to a server are open; None for a file."""
        pool = self._engine.pool
        return Pool(pool.checkedout(), pool.checkedin()) if isinstance(pool, QueuePool) else None

    @property
    def label(self) -> str:
        """How messages name it: without user, password and options."""
        if not self.is_postgresql:
            return str(self.path)
        host = self.url.host or self.url.query.get("host") or ""
        return f"postgresql://{host if isinstance(host, str) else ','.join(host)}/{self.url.database or ''}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({self.label!r})"

    def prepare(self) -> None:
        """Make the tables, or bring them to the form that this version works with, unless they have it.

        Raises:
            UnfitTables: If they cannot be brought to it.
            SQLAlchemyError: If the database does not answer.
        """
        if not self._is_fit:
            bring_up_to_date(self._engine, GATEWAY)
            self._is_fit = True

    @contextmanager
    def looking(self, tenant: Tenant) -> Iterator[Connection]:
        """A connection for a look-up: each statement sees what is there when it runs.

        Args:
            tenant: Whose rows.

        Raises:
            UnfitTables: If the tables are of another version's form.
            SQLAlchemyError: If there is no database to read; also while reading from it.
        """
        self._check()
        with self._to_read.connect().execution_options(tenant=tenant, alone=True) as connection:
            if self.is_postgresql:
                # Whoever reads much may pause; nobody waits for what only reads.
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection

    def look_all(self, tenant: Tenant, queries: Sequence[Query]) -> list[Rows]:
        """What several statements find, one after the other, on one connection to a server; `looks` asks so.

        Args:
            tenant: Whose rows.
            queries: The statements.

        Raises:
            SQLAlchemyError: If there is no database to read, or it cannot be read.
        """
        self._check()
        try:
            with closing(self._engine.raw_connection()) as pooled:
                connection: Any = pooled.driver_connection
                return _looked(connection, setting(tenant), queries)
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise OperationalError(None, None, error) from error

    @contextmanager
    def at_one_moment(self, tenant: Tenant) -> Iterator[Connection]:
        """A connection for reading much: everything is as it stood at one moment, and rows come as they are read.

        Args:
            tenant: Whose rows.

        Raises:
            UnfitTables: If the tables are of another version's form.
            SQLAlchemyError: If there is no database to read; also while reading from it.
        """
        self._check()
        with self._to_read.connect().execution_options(tenant=tenant) as connection:
            if self.is_postgresql:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                # Whoever reads an export may pause; nobody waits for what only reads.
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection.execution_options(yield_per=_ROWS_AT_ONCE)

    @contextmanager
    def changing(self, tenant: Tenant) -> Iterator[Connection]:
        """A connection in a transaction that ends with the block.

        Args:
            tenant: Whose rows.

        Raises:
            SQLAlchemyError: If something cannot be read or written; then nothing is.
        """
        self._check()
        options = {"immediate": True, "tenant": tenant}
        with self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def vacuum(self, *tables: str) -> None:
        """Have a PostgreSQL server overwrite what was deleted from tables.

        Raises:
            SQLAlchemyError: If that fails.
        """
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in tables:
                connection.exec_driver_sql(f"VACUUM {table}")

    def close(self) -> None:
        """Close every connection."""
        self.looks.close()
        self._engine.dispose()
        self._to_read.dispose()

    def _check(self) -> None:
        """See once that the tables are as this version knows them."""
        if not self._is_fit:
            self._is_fit = check_form(self._to_read, GATEWAY)

    def _note_file(self, _connection: object, record: ConnectionPoolEntry) -> None:
        record.info["file"] = self.which_file()

    def _check_file(self, _connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info["file"] != self.which_file():
            raise DisconnectionError("the file was replaced")  # SQLAlchemy opens the new one

    def which_file(self) -> tuple[int, int]:
        """Which file bears the name: its device and number, zeros if there is none."""
        try:
            stat = os.stat(self.url.database or "")  # noqa: PTH116 - at each look, and a `Path` costs twice as much
        except OSError:
            return 0, 0
        return stat.st_dev, stat.st_ino

    def open_to_read(self) -> sqlite3.Connection:
        """A new connection to the file that cannot change it.

        Raises:
            sqlite3.Error: If there is none.
        """
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            timeout=BUSY_SECONDS,
            isolation_level=None,
            uri=True,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only=ON")
        return connection


def _looked(
    connection: "psycopg.Connection[Any]", whose: tuple[str, tuple[str, ...]], queries: Sequence[Query]
) -> list[Rows]:
    connection.autocommit = True
    try:
        # Sent together they are one transaction, and one round trip; each still sees what is committed when it begins.
        with connection.pipeline():
            connection.execute(*whose)
            cursors = [connection.execute(_for_psycopg(query), asked) for query, asked in queries]
        return [cursor.fetchall() for cursor in cursors]
    finally:
        if not connection.closed:
            connection.autocommit = False
